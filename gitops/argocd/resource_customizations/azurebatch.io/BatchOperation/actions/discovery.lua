-- Written by `make crds`; do not edit.
local actions = {}
local status = obj.status or {}
local state = status.state
local failed = (status.taskCounts or {}).failed or 0
local open = obj.metadata.deletionTimestamp == nil
local managed = true
for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" and (condition.type == "Complete" or condition.type == "Failed") then
    open = false
  end
  if condition.type == "Skipped" then
    managed = false
  end
end
actions["reconcile-now"] = { disabled = not (true) }
actions["terminate"] = { disabled = not (open and managed) }
return actions
