-- Pasted where a fixed window has read its state, and the one with the number `nth`
-- takes its place: what is carried into that, nil where nothing ever is.
local into = nth and 0
if nth and number and now - fend < CARRIED_KEPT_MS then
  local idle = kind == p4 and nth - number - 1 or 0
  idle = math.max(0, math.min(IDLE_MAX, idle))
  into = math.min(most, math.max(0, base - count + carried) + idle * base)
end
