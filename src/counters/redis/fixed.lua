-- Pasted where `key` is a fixed window's: as it is stored. fend is nil where
-- nothing is.
local fend, count, kind
local raw = call('GET', key)
if raw then
  if #raw ~= FIXED_BYTES then corrupt() end
  fend, count, kind = unpack_bytes(FIXED_STATE, raw)
  if not (fend >= 0 and fend <= AMOUNT_MAX and count >= 0 and count <= AMOUNT_MAX
      and count == floor(count) and fend == floor(fend)) then corrupt() end
end
