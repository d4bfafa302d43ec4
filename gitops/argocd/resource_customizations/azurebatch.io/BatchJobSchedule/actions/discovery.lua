-- Written by `make crds`; do not edit.
local actions = {}
local phase = (obj.status or {}).phase
actions["reconcile-now"] = { disabled = not (true) }
actions["suspend"] = { disabled = not (obj.spec.suspend ~= true and phase ~= "Succeeded" and phase ~= "Failed") }
actions["resume"] = { disabled = not (obj.spec.suspend == true) }
return actions
