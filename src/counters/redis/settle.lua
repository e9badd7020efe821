-- Ends a hold: each charge becomes what was used, leases are released.
-- KEYS: hold, open holds of the bucket. The counters' keys are in the hold and
-- carry the same hash tag.
-- ARGV: hold id, requests, tokens, ended_ms.
-- Answers {1 applied | 0 already, now}. A hold that isn't there is marked as
-- ended, so that a reservation which comes after its settlement takes nothing.
local hold_id = ARGV[1]
local actual = { r = tonumber(ARGV[2]), t = tonumber(ARGV[3]) }

local hold, raw = read_hold(KEYS[1])
if not hold then
  if not raw then redis.call('SET', KEYS[1], ENDED, 'PX', ARGV[4]) end
  return { 0, now }
end
redis.call('ZCARD', KEYS[2])

-- All is read and computed before anything is written.
local writes = {}
for _, charge in ipairs(hold[3]) do
  local key, kind, unit, held, p1, p2, p3 = unpack(charge)
  if kind == 'c' then
    redis.call('ZCARD', key)
    writes[#writes + 1] = { leases, key }
  elseif actual[unit] ~= held then
    local used = actual[unit]
    if kind == 'w' then
      local state = window.read(key)
      if not state and used > held then state = window.empty(p1) end
      if state then
        window.correct(state, p1, p2, held, used)
        writes[#writes + 1] = { window, key, state }
      end
    else
      local state = bucket.read(key)
      if not state and used > held then state = bucket.full(p1, p2, p3) end
      if state then
        bucket.correct(state, held, used)
        writes[#writes + 1] = { bucket, key, state }
      end
    end
  end
end

redis.call('ZREM', KEYS[2], hold_id)
redis.call('SET', KEYS[1], ENDED, 'PX', ARGV[4])
for _, write in ipairs(writes) do
  if write[1] == leases then
    redis.call('ZREM', write[2], hold_id)
  else
    write[1].write(write[2], write[3])
  end
end
return { 1, now }
