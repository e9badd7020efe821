-- The algorithms of src/limits, made atomic.
local AMOUNT_MAX, LEVEL_MAX = 9007199254740991, 4503599627370495
local FRACTION, GRACE_MS = 65536, 1000

-- A window is its sub-window's length, the number of the newest, the sum of the
-- twelve newest counts, and 13 counts, newest first. Only the newest and the
-- oldest are looked at while time stays within one sub-window, so the eleven
-- between them stay as they are, in one piece.
local WINDOW, WINDOW_BYTES, BETWEEN_BYTES = '<ddddc88d', 128, 88
local BUCKET, BUCKET_BYTES = '<ddddd', 40

-- A stored window, brought up to now: length, number, sum, newest, between,
-- oldest. Nothing where there is none.
local function window_of(key)
  local raw = call('GET', key)
  if not raw then return nil end
  if #raw ~= WINDOW_BYTES then corrupt() end
  local length, head, full, newest, between, oldest = unpack_bytes(WINDOW, raw)
  if not (length >= 1 and head >= 0 and full >= newest and newest >= 0 and oldest >= 0
      and full <= AMOUNT_MAX and oldest <= AMOUNT_MAX) then corrupt() end
  local by = floor(now / length) - head
  if by > 0 then
    head = head + by
    by = min(by, 13)
    local counts = rep('\0', 8 * by) .. sub(raw, 25, WINDOW_BYTES - 8 * by)
    newest, between = 0, sub(counts, 9, 8 + BETWEEN_BYTES)
    oldest = unpack_bytes('<d', counts, 9 + BETWEEN_BYTES)
    full = 0
    for at = 1, BETWEEN_BYTES, 8 do full = full + unpack_bytes('<d', between, at) end
  end
  return length, head, full, newest, between, oldest
end

local function window_used(length, head, full, oldest)
  local covered = length - max(0, now - head * length)
  local fraction = ceil(covered * FRACTION / length)
  -- In two parts, as the product could exceed 2^53.
  local whole = floor(oldest / FRACTION)
  return full + whole * fraction + ceil((oldest - whole * FRACTION) * fraction / FRACTION)
end

local function window_ttl(length, head) return (head + 14) * length - now + GRACE_MS end

-- A bucket is its level, the time of that, and its rate: units a millisecond,
-- units a token, capacity. Brought up to now; nothing where there is none.
local function bucket_of(key)
  local raw = call('GET', key)
  if not raw then return nil end
  if #raw ~= BUCKET_BYTES then corrupt() end
  local level, last, per_ms, scale, capacity = unpack_bytes(BUCKET, raw)
  if not (per_ms >= 1 and scale >= 1 and capacity >= 1 and level <= capacity
      and level >= -LEVEL_MAX and last >= 0) then corrupt() end
  local elapsed = now - last
  if elapsed > 0 then
    last = now
    if elapsed >= ceil((capacity - level) / per_ms) then level = capacity
    else level = level + elapsed * per_ms end
  end
  return level, last, per_ms, scale, capacity
end

local function bucket_ttl(level, last, per_ms, capacity)
  return ceil((capacity - level) / per_ms) + max(0, last - now) + GRACE_MS
end
