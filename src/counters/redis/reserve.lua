-- Takes all charges of a call, or none.
-- KEYS: hold, open holds of the bucket. The counters' keys are in the record
-- and carry the same hash tag.
-- ARGV: hold id, record, hold_ttl, lease_ttl, kept_ms. A charge's parameters
--   are, for a window (w): limit, sub_ms, 0; for a bucket (b): per_ms, scale,
--   capacity; for leases (c): limit, 0, 0.
-- Answers {0 refused | 1 admitted | 2 ended, now, a state per charge}: as they
-- stand after the charges, or where nothing was taken, as they stand.
local hold_id, record = ARGV[1], ARGV[2]
local charges, first = charges_of(record)

-- What would be written: a key, and a value with its time to live. A lease has
-- no value.
local answer, keys, ttls = { 0, now }, {}, {}
local charged = ''

-- Looks at every counter, with its charge or without; says whether all admit.
local function look(charge)
  local admits, at = true, first
  for i = 1, charges do
    local kind, unit, amount, p1, p2, p3, key
    kind, unit, amount, p1, p2, p3, key, at = unpack_bytes(CHARGE, record, at)
    if not charge then amount = 0 end
    keys[i] = key
    if kind == 'w' then
      local length, head, full, newest, between, oldest = window_of(key)
      if not length then
        length, head, full, newest, between, oldest =
          p2, floor(now / p2), 0, 0, rep('\0', BETWEEN_BYTES), 0
      elseif length ~= p2 then
        newest = min(AMOUNT_MAX, window_used(length, head, full, oldest))
        length, head, full, between, oldest =
          p2, floor(now / p2), newest, rep('\0', BETWEEN_BYTES), 0
      end
      admits = admits and window_used(length, head, full, oldest) + amount <= p1
      amount = min(amount, max(0, AMOUNT_MAX - full))
      answer[i + 2] = pack(WINDOW, length, head, full + amount, newest + amount, between, oldest)
      ttls[i] = window_ttl(length, head)
      charged = charged .. pack('<d', head)
    elseif kind == 'b' then
      local level, last, per_ms, scale, capacity = bucket_of(key)
      if not level then
        level, last = p3, now
      else
        if scale ~= p2 then
          local debt_max, burst = floor(LEVEL_MAX / p2), floor(p3 / p2)
          level = max(-debt_max, min(burst, floor(level / scale))) * p2
        end
        level = min(level, p3)
      end
      admits = admits and amount <= floor(p3 / p2) and level >= amount * p2
      level = level - amount * p2
      answer[i + 2] = pack(BUCKET, level, last, p1, p2, p3)
      ttls[i] = bucket_ttl(level, last, p1, p3)
    else
      local used = call('ZCOUNT', key, '(' .. format('%d', now), '+inf')
      admits = admits and used < p1
      answer[i + 2] = pack('<d', charge and used + 1 or used)
    end
  end
  return admits
end

local held = call('GET', KEYS[1])
if held == ENDED then return { 2, now } end
if held then
  charges_of(held)
  look(false)
  answer[1] = 1
  return answer
end
if not look(true) then
  look(false)
  return answer
end

-- The first write raises where the key is of another type; those after it
-- can't, as all their keys have been read.
call('ZADD', KEYS[2], format('%d', now + ARGV[3]), hold_id)
call('PEXPIRE', KEYS[2], ARGV[5])
call('SET', KEYS[1], record .. charged, 'PX', ARGV[5])
for i = 1, charges do
  if ttls[i] then
    call('SET', keys[i], answer[i + 2], 'PX', format('%d', ttls[i]))
  else
    call('ZADD', keys[i], format('%d', now + ARGV[4]), hold_id)
    call('PEXPIRE', keys[i], ARGV[5])
  end
end
answer[1] = 1
return answer
