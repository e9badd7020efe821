-- Pasted where `key` is a window's: how it stands now. length is nil where
-- nothing is stored; same, whether it ends when it was to end before: it does
-- within one sub-window.
local length, head, full, newest, between, oldest
local same = false
local raw = call('GET', key)
if raw then
  if #raw ~= WINDOW_BYTES then corrupt() end
  length, head, full, newest, between, oldest = unpack_bytes(WINDOW_STATE, raw)
  if not (length >= 1 and head >= 0 and full >= newest and newest >= 0 and oldest >= 0
      and full <= AMOUNT_MAX and oldest <= AMOUNT_MAX) then corrupt() end
  local by = floor(now / length) - head
  same = by <= 0
  if by > 0 then
    head = head + by
    if by > 13 then by = 13 end
    local counts = rep('\0', 8 * by) .. sub(raw, 25, WINDOW_BYTES - 8 * by)
    newest, between = 0, sub(counts, 9, 8 + BETWEEN_BYTES)
    oldest = unpack_bytes('<d', counts, 9 + BETWEEN_BYTES)
    full = 0
    for place = 1, BETWEEN_BYTES, 8 do full = full + unpack_bytes('<d', between, place) end
  end
end
