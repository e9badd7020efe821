-- Pasted where a fixed window's charge was read: base, most and nth are of a
-- rollover, nil where there is none; and `key` is its key alone.
local base, most, nth
if algorithm == CARRYING then
  base, most, nth = unpack_bytes(CARRY, key, #key - CARRY_BYTES + 1)
  key = sub(key, 1, -CARRY_BYTES - 1)
end
