-- Pasted where `key` is a bucket's: how it stands now. level is nil where
-- nothing is stored.
local level, last, per_ms, scale, capacity
local raw = call('GET', key)
if raw then
  if #raw ~= BUCKET_BYTES then corrupt() end
  level, last, per_ms, scale, capacity = unpack_bytes(BUCKET_STATE, raw)
  if not (per_ms >= 1 and scale >= 1 and capacity >= 1 and level <= capacity
      and level >= -LEVEL_MAX and last >= 0) then corrupt() end
  local elapsed = now - last
  if elapsed > 0 then
    last = now
    if elapsed >= ceil((capacity - level) / per_ms) then level = capacity
    else level = level + elapsed * per_ms end
  end
end
