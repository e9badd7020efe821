-- Pasted after a window was read: what is used of it now.
local used = full
if oldest > 0 then
  local covered = length
  if now > head * length then covered = covered - (now - head * length) end
  local fraction = ceil(covered * FRACTION / length)
  -- In two parts, as the product could exceed 2^53.
  local whole = floor(oldest / FRACTION)
  used = used + whole * fraction + ceil((oldest - whole * FRACTION) * fraction / FRACTION)
end
