-- Written by `make crds`; do not edit.
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "The operator has not looked at it yet" }
end
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local function is(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end
local function message(name)
  return conditions[name].reason .. ": " .. conditions[name].message
end
if is("Failed") then return { status = "Degraded", message = message("Failed") } end
if is("Stalled") then return { status = "Degraded", message = message("Stalled") } end
if is("Complete") then return { status = "Healthy", message = message("Complete") } end
if is("Skipped") then return { status = "Suspended", message = message("Skipped") } end
if is("Suspended") then return { status = "Suspended", message = message("Suspended") } end
if is("Reconciling") then return { status = "Progressing", message = message("Reconciling") } end
if is("Ready") then return { status = "Progressing", message = message("Ready") } end
return { status = "Progressing", message = conditions.Ready ~= nil and message("Ready") or "" }
