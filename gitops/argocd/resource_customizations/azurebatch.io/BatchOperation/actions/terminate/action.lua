-- Written by `make crds`; do not edit.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
local os = require("os")
obj.metadata.annotations["azurebatch.io/terminate"] = os.date("!%Y-%m-%dT%XZ")
return obj
