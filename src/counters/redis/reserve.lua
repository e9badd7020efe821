-- Takes all charges of a call, or none.
-- KEYS: hold, open holds of the bucket, one counter per charge.
-- ARGV: hold id, slot, context, hold_ttl, lease_ttl, kept_ms, then for each
--   charge: algorithm, unit, amount and three parameters
--   (w: limit, sub_ms, 0; b: per_ms, scale, capacity; c: limit, 0, 0).
-- Answers {0 refused | 1 admitted | 2 ended, now, a state per charge}: as they
-- stand after the charges, or where nothing was taken, as they stand.
local hold_id, hold_ttl, lease_ttl = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[5])

local open, raw = read_hold(KEYS[1])
if raw and not open then return { 2, now } end
-- Raises here, before any write, if it is of another type.
redis.call('ZCARD', KEYS[2])

local admitted = true
local states, charges = {}, {}
for i = 1, #KEYS - 2 do
  local key, at = KEYS[i + 2], 6 * i
  local kind, amount = ARGV[at + 1], tonumber(ARGV[at + 3])
  local p1, p2, p3 = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  local state
  if kind == 'w' then
    state = window.read(key)
    state = state and window.adopt(state, p2) or window.empty(p2)
    admitted = admitted and window.used(state) + amount <= p1
    charges[i] = { key, kind, ARGV[at + 2], amount, p2, state[2], 0 }
  elseif kind == 'b' then
    state = bucket.read(key)
    state = state and bucket.adopt(state, p1, p2, p3) or bucket.full(p1, p2, p3)
    admitted = admitted and amount <= floor(p3 / p2) and state[1] >= amount * p2
    charges[i] = { key, kind, ARGV[at + 2], amount, p1, p2, p3 }
  else
    state = leases.read(key)
    admitted = admitted and state[1] < p1
    charges[i] = { key, kind, ARGV[at + 2], amount, 0, 0, 0 }
  end
  states[i] = state
end

if open then return { 1, now, unpack(states) } end
if not admitted then return { 0, now, unpack(states) } end

redis.call('ZADD', KEYS[2], text(now + hold_ttl), hold_id)
redis.call('PEXPIRE', KEYS[2], ARGV[6])
local hold = cmsgpack.pack({ ARGV[2], ARGV[3], charges })
redis.call('SET', KEYS[1], hold, 'PX', ARGV[6])
for i, charge in ipairs(charges) do
  local key, kind, state = charge[1], charge[2], states[i]
  if kind == 'w' then
    window.take(state, charge[4])
    window.write(key, state)
  elseif kind == 'b' then
    state[1] = state[1] - charge[4] * charge[6]
    bucket.write(key, state)
  else
    redis.call('ZADD', key, text(now + lease_ttl), hold_id)
    leases.keep(key)
    state[1], state[2] = state[1] + 1, max(state[2], now + lease_ttl)
  end
end
return { 1, now, unpack(states) }
