-- Written by `make crds`; do not edit.
local actions = {}
local phase = (obj.status or {}).phase
actions["reconcile-now"] = { disabled = not (true) }
actions["retry-failed"] = { disabled = not ((obj.status or {}).taskCounts ~= nil and (obj.status.taskCounts.failed or 0) > 0) }
actions["terminate"] = { disabled = not (phase ~= "Succeeded" and phase ~= "Failed") }
actions["suspend"] = { disabled = not (obj.spec.suspend ~= true and phase ~= "Succeeded" and phase ~= "Failed") }
actions["resume"] = { disabled = not (obj.spec.suspend == true) }
return actions
