-- The algorithms of src/limits, made atomic. All numbers are whole and below
-- 2^53, where doubles are exact; a quotient of such numbers is rounded up or
-- down correctly. Written values go through text(): Lua itself would print only
-- 14 digits.
local FULL_SUBS, FRACTION = 12, 65536
local AMOUNT_MAX, LEVEL_MAX = 9007199254740991, 4503599627370495
local GRACE_MS = 1000
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + floor(tonumber(clock[2]) / 1000)

local function text(n) return string.format('%.0f', n) end

local function corrupt(what) error('WEIRCORRUPT ' .. what, 0) end

local function unpacked(raw, what)
  local ok, value = pcall(cmsgpack.unpack, raw)
  if not ok or type(value) ~= 'table' then corrupt(what) end
  return value
end

-- A stored state: `size` whole numbers. A key of another type raises WRONGTYPE.
local function read(key, size)
  local raw = redis.call('GET', key)
  if not raw then return nil end
  local state = unpacked(raw, 'counter')
  if #state ~= size then corrupt('counter') end
  for i = 1, size do
    local n = state[i]
    if type(n) ~= 'number' or n % 1 ~= 0 or n > AMOUNT_MAX or n < -AMOUNT_MAX then
      corrupt('counter')
    end
  end
  return state
end

-- A window is {sub_ms, head, counts newest first (13)}.
local window = {}

function window.empty(sub)
  local w = { sub, floor(now / sub) }
  for i = 3, 15 do w[i] = 0 end
  return w
end

function window.full(w)
  local sum = 0
  for i = 3, 14 do sum = sum + w[i] end
  return sum
end

function window.used(w)
  local covered = w[1] - max(0, now - w[2] * w[1])
  local fraction = ceil(covered * FRACTION / w[1])
  local whole = floor(w[15] / FRACTION)
  local rest = w[15] - whole * FRACTION
  return window.full(w) + whole * fraction + ceil(rest * fraction / FRACTION)
end

-- Brought up to now, or nil.
function window.read(key)
  local w = read(key, 15)
  if not w then return nil end
  if w[1] < 1 then corrupt('counter') end
  local head = floor(now / w[1])
  local by = head - w[2]
  if by <= 0 then return w end
  local moved = { w[1], head }
  for i = 3, 15 do moved[i] = i - by >= 3 and w[i - by] or 0 end
  return moved
end

function window.adopt(w, sub)
  if w[1] == sub then return w end
  local moved = window.empty(sub)
  moved[3] = min(AMOUNT_MAX, window.used(w))
  return moved
end

function window.take(w, amount)
  w[3] = w[3] + min(amount, max(0, AMOUNT_MAX - window.full(w)))
end

function window.correct(w, sub, index, held, actual)
  local age = w[2] - index
  local place = sub == w[1] and age >= 0 and age <= FULL_SUBS and age + 3 or nil
  if actual < held then
    if place then w[place] = max(0, w[place] - (held - actual)) end
  elseif place == 15 then
    w[15] = min(AMOUNT_MAX, w[15] + (actual - held))
  else
    place = place or 3
    w[place] = w[place] + min(actual - held, max(0, AMOUNT_MAX - window.full(w)))
  end
end

function window.write(key, w)
  local ttl = (w[2] + FULL_SUBS + 2) * w[1] - now + GRACE_MS
  redis.call('SET', key, cmsgpack.pack(w), 'PX', text(ttl))
end

-- A bucket is {level, last, per_ms, scale, capacity}.
local bucket = {}

function bucket.full(per_ms, scale, capacity) return { capacity, now, per_ms, scale, capacity } end

-- Brought up to now, or nil.
function bucket.read(key)
  local b = read(key, 5)
  if not b then return nil end
  if b[3] < 1 or b[4] < 1 or b[5] < 1 or b[1] > b[5] then corrupt('counter') end
  local elapsed = now - b[2]
  if elapsed > 0 then
    if elapsed >= ceil((b[5] - b[1]) / b[3]) then b[1] = b[5] else b[1] = b[1] + elapsed * b[3] end
    b[2] = now
  end
  return b
end

function bucket.adopt(b, per_ms, scale, capacity)
  if b[4] ~= scale then
    local debt_max, burst = floor(LEVEL_MAX / scale), floor(capacity / scale)
    b[1] = max(-debt_max, min(burst, floor(b[1] / b[4]))) * scale
  end
  return { min(b[1], capacity), b[2], per_ms, scale, capacity }
end

function bucket.correct(b, held, actual)
  if actual < held then
    local back = held - actual
    if back >= ceil((b[5] - b[1]) / b[4]) then b[1] = b[5] else b[1] = b[1] + back * b[4] end
  else
    local over = actual - held
    if over > floor((b[1] + LEVEL_MAX) / b[4]) then
      b[1] = -LEVEL_MAX
    else
      b[1] = b[1] - over * b[4]
    end
  end
end

function bucket.write(key, b)
  local ttl = ceil((b[5] - b[1]) / b[3]) + max(0, b[2] - now) + GRACE_MS
  redis.call('SET', key, cmsgpack.pack(b), 'PX', text(ttl))
end

-- Leases are a sorted set of hold ids by expiry. What is alive: {used, last}.
local leases = {}

function leases.read(key)
  local used = redis.call('ZCOUNT', key, '(' .. text(now), '+inf')
  if used == 0 then return { 0, 0 } end
  local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
  return { used, tonumber(last[2]) }
end

-- A key lives as long as its last lease.
function leases.keep(key)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now))
  local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
  if last[2] then redis.call('PEXPIREAT', key, text(tonumber(last[2]) + GRACE_MS)) end
end

-- A hold is {slot, context, charges}, or ENDED once it is over.
local ENDED = '-'

local function read_hold(key)
  local raw = redis.call('GET', key)
  if not raw or raw == ENDED then return nil, raw end
  local hold = unpacked(raw, 'hold')
  if type(hold[3]) ~= 'table' then corrupt('hold') end
  return hold, raw
end
