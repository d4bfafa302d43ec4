-- Written by `make crds`; do not edit.
local actions = {}
actions["reconcile-now"] = { disabled = not (true) }
return actions
