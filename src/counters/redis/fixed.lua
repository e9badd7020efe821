-- Pasted where `key` is a fixed window's: as it is stored. fend is nil where
-- nothing is; carried and number are where nothing is carried.
local fend, count, kind, carried, number
local raw = call('GET', key)
if raw then
  if #raw == CARRYING_BYTES then
    fend, count, kind, carried, number = unpack_bytes(CARRYING_STATE, raw)
    if not (carried >= 0 and carried <= AMOUNT_MAX and carried == floor(carried)
        and number >= 1 and number <= AMOUNT_MAX and number == floor(number)) then corrupt() end
  elseif #raw == FIXED_BYTES then fend, count, kind = unpack_bytes(FIXED_STATE, raw)
  else corrupt() end
  if not (fend >= 0 and fend <= AMOUNT_MAX and count >= 0 and count <= AMOUNT_MAX
      and count == floor(count) and fend == floor(fend)) then corrupt() end
end
