-- Takes all charges of a call, or none.
-- KEYS: hold, open holds of the bucket. The counters' keys are in the record
-- and carry the same hash tag.
-- Without a hold id the charges are for good: nothing is left to settle. What
-- then takes nothing only asks, and stores nothing.
-- ARGV: hold id, record, hold_ttl, lease_ttl, kept_ms. A charge's parameters
--   are, for a window: limit, sub_ms; for a bucket: per_ms, scale, capacity; for
--   leases: limit; for a fixed window see FIXED_STATE and CARRYING_STATE.
-- Answers {0 refused | 1 admitted | 2 ended, now, a state per charge}: as they
-- stand after the charges, or where nothing was taken, as they stand. Or
-- {3, now}: the ends of a fixed window both lie behind, ask again with others.
local hold_id = ARGV[1]
local for_good = hold_id == ''
local held = not for_good and call('GET', KEYS[1])
if held and (held == EXPIRED or sub(held, 1, 1) == SETTLED) then return { 2, now } end
if held then
  local record = held
  --:record
end
-- The same hold again takes nothing more.
local take = not held

local record = ARGV[2]
--:record
local first = at
-- The answer; keys, and times to live of what would be stored under them, nil
-- for leases, false where nothing is taken. A table grows slowly, so these are
-- made with some room.
local answer = { 0, now, nil, nil, nil, nil, nil, nil }
local keys, ttls = { nil, nil, nil, nil, nil, nil }, { nil, nil, nil, nil, nil, nil }
local charged, admits
repeat
  local again = false
  charged, admits, at = '', true, first
  for i = 1, charges do
    local algorithm, unit, amount, room, p1, p2, p3, p4, key
    algorithm, unit, amount, room, p1, p2, p3, p4, key, at = unpack_bytes(CHARGE, record, at)
    keys[i] = key
    if not take then amount = 0 end
    local fits
    -- Whether the limit has changed since the counter was stored.
    local adopted = false
    if algorithm == FIXED or algorithm == CARRYING then
      --:carrying
      keys[i] = key
      --:fixed
      local due = p3 == 0 and now + p2 or now < p2 and p2 or p3
      if p3 ~= 0 and now >= p3 then return { 3, now } end
      if not fend or now >= fend or count == 0 and p3 == 0 then
        -- What it leaves is carried on, from no window before it.
        adopted = nth and not (number and now - fend < CARRIED_KEPT_MS)
        if nth and due == p3 then nth = nth + 1 end
        --:carry
        fend, count, kind, carried, number = due, 0, p4, into, nth
      else
        if kind ~= p4 or fend > (p3 == 0 and due + p2 or p3) then
          fend, kind, adopted = due, p4, count > 0
          if number and nth then number = fend == p3 and nth + 1 or nth end
        end
        if nth and not number then
          carried, number, adopted = carried or 0, fend == p3 and nth + 1 or nth, count > 0
        elseif number and not nth then
          carried, number, adopted = nil, nil, count > 0
        end
      end
      fits = count + room <= math.min(AMOUNT_MAX, p1 + (carried or 0))
        if amount > AMOUNT_MAX - count then amount = AMOUNT_MAX - count end
      if number then
        answer[i + 2] = pack(CARRYING_STATE, fend, count + amount, kind, carried, number)
        ttls[i] = fend - now + CARRIED_KEPT_MS + GRACE_MS
      else
        answer[i + 2] = pack(FIXED_STATE, fend, count + amount, kind)
        ttls[i] = fend - now + GRACE_MS
      end
      charged = charged .. pack('<d', fend)
    elseif algorithm == WINDOW then
      --:window
      if not length then
        length, head, full, newest, oldest = p2, floor(now / p2), 0, 0, 0
        between = rep('\0', BETWEEN_BYTES)
      elseif length ~= p2 then
        --:window_used
        if used > AMOUNT_MAX then used = AMOUNT_MAX end
        same, adopted = false, true
        length, head, full, newest, oldest = p2, floor(now / p2), used, used, 0
        between = rep('\0', BETWEEN_BYTES)
      end
      --:window_used
      fits = used + room <= p1
        if amount > AMOUNT_MAX - full then amount = AMOUNT_MAX - full end
      answer[i + 2] = pack(WINDOW_STATE, length, head, full + amount, newest + amount, between, oldest)
      ttls[i] = same and KEEP or (head + 14) * length - now + GRACE_MS
      charged = charged .. pack('<d', head)
    elseif algorithm == BUCKET then
      --:bucket
      adopted = level and (per_ms ~= p1 or scale ~= p2 or capacity ~= p3)
      if not level then
        level, last = p3, now
      elseif scale ~= p2 then
        local debt_max, burst = floor(LEVEL_MAX / p2), floor(p3 / p2)
        level = math.max(-debt_max, math.min(burst, floor(level / scale))) * p2
      end
      if level > p3 then level = p3 end
      fits = room <= floor(p3 / p2) and level >= room * p2
        level = level - amount * p2
      if level < -LEVEL_MAX then level = -LEVEL_MAX end
      answer[i + 2] = pack(BUCKET_STATE, level, last, p1, p2, p3)
      ttls[i] = ceil((p3 - level) / p1) + (last > now and last - now or 0) + GRACE_MS
    else
      local used = call('ZCOUNT', key, '(' .. format('%d', now), '+inf')
      fits = used < p1
      answer[i + 2] = pack('<d', used + amount)
    end
    admits = admits and (fits or unit >= SHADOW)
    -- Refused, and stored all the same: else each call that comes would find the
    -- counter as it was, and none would pass when it was told to.
    if adopted and not take and not held then
      call('SET', key, answer[i + 2], 'PX', format('%d', ttls[i]))
    end
    if for_good and amount == 0 then ttls[i] = false end
  end
  -- Refused: they are answered as they stand.
  if take and not admits then take, again = false, true end
until not again

if not take then
  answer[1] = held and 1 or 0
  return answer
end

-- The first write raises where the key is of another type; those after it
-- can't, as all their keys have been read.
if not for_good then
  call('ZADD', KEYS[2], format('%d', now + ARGV[3]), hold_id)
  call('PEXPIRE', KEYS[2], ARGV[5])
  call('SET', KEYS[1], record .. charged, 'PX', ARGV[5])
end
for i = 1, charges do
  if ttls[i] == KEEP then
    call('SET', keys[i], answer[i + 2], 'KEEPTTL')
  elseif ttls[i] then
    call('SET', keys[i], answer[i + 2], 'PX', format('%d', ttls[i]))
  elseif ttls[i] == nil then
    call('ZADD', keys[i], format('%d', now + ARGV[4]), hold_id)
    call('PEXPIRE', keys[i], ARGV[5])
  end
end
answer[1] = 1
return answer
