-- Ends a hold: each charge becomes what was used, leases are released.
-- KEYS: hold, open holds of the bucket. The counters' keys are in the hold and
-- carry the same hash tag.
-- ARGV: hold id, ended_ms, what was used of each unit, in their order, and which
-- attempt this is. The same attempt again, as a client sends it whose connection
-- was lost before the answer, is answered as before.
-- Answers {1 applied | 0 settled before | 2 expired before | 3 not there, now}.
-- A hold that isn't there is marked as settled, so that a reservation which
-- comes after its settlement takes nothing.
local hold_id, attempt = ARGV[1], ARGV[8]
local record = call('GET', KEYS[1])
if not record then
  call('SET', KEYS[1], SETTLED .. '3' .. attempt, 'PX', ARGV[2])
  return { 3, now }
end
if sub(record, 1, 1) == SETTLED then
  return { sub(record, 3) == attempt and tonumber(sub(record, 2, 2)) or 0, now }
end
if record == EXPIRED then return { 2, now } end

-- All is read and computed before anything is written: keys, and what is to be
-- stored under them, with times to live; nil for leases.
local places = 0
local keys, values, ttls = { nil, nil, nil, nil }, { nil, nil, nil, nil }, { nil, nil, nil, nil }
--:record
local charged_at = size + 1
for _ = 1, charges do
  local algorithm, unit, held, room, p1, p2, p3, p4, key
  algorithm, unit, held, room, p1, p2, p3, p4, key, at = unpack_bytes(CHARGE, record, at)
  local actual = tonumber(ARGV[2 + unit % SHADOW])
  if algorithm == LEASES then
    -- Raises where it is of another type.
    call('ZCARD', key)
    places = places + 1
    keys[places] = key
  elseif actual == held then
    if algorithm == WINDOW or algorithm == FIXED or algorithm == CARRYING then
      charged_at = charged_at + 8
    end
  elseif algorithm == FIXED or algorithm == CARRYING then
    local charged = unpack_bytes('<d', record, charged_at)
    charged_at = charged_at + 8
    --:carrying
    --:fixed
    local change = actual - held
    local open = fend and now < fend and not (count == 0 and p3 == 0)
    if not open and change > 0 then
      local due
      if p3 == 0 then due = now + p2
      elseif now < p2 then due = p2
      elseif now < p3 then due, nth = p3, nth and nth + 1
      -- Both ends lie behind: on in steps of the last window, which of a
      -- calendar's are only about right.
      else
        local turns = floor((now - p3) / (p3 - p2)) + 1
        due, nth = p3 + turns * (p3 - p2), nth and nth + 1 + turns
      end
      --:carry
      fend, count, kind, carried, number = due, 0, p4, into, nth
      open = true
    end
    if open and (change > 0 or charged == fend) then
      count = math.max(0, math.min(AMOUNT_MAX, count + change))
      places = places + 1
      keys[places] = key
      if number then
        ttls[places] = fend - now + CARRIED_KEPT_MS + GRACE_MS
        values[places] = pack(CARRYING_STATE, fend, count, kind, carried, number)
      else
        ttls[places] = fend - now + GRACE_MS
        values[places] = pack(FIXED_STATE, fend, count, kind)
      end
    end
  elseif algorithm == WINDOW then
    local charged = unpack_bytes('<d', record, charged_at)
    charged_at = charged_at + 8
    --:window
    if not length and actual > held then
      length, head, full, newest, oldest = p2, floor(now / p2), 0, 0, 0
      between = rep('\0', BETWEEN_BYTES)
    end
    -- Where nothing is stored any more, a refund has nowhere to go.
    if length then
      -- How many sub-windows ago; nil where that is over.
      local age = length == p2 and head - charged or -1
      if age < 0 or age > 12 then age = nil end
      local change = actual - held
      if age == 12 then
        oldest = math.max(0, math.min(AMOUNT_MAX, oldest + change))
      elseif age or change > 0 then
        local held_there, from = newest, nil
        if age and age > 0 then
          from = 8 * (age - 1)
          held_there = unpack_bytes('<d', between, from + 1)
        end
        change = math.max(-held_there, math.min(change, AMOUNT_MAX - full))
        full = full + change
        if from then
          between = sub(between, 1, from) .. pack('<d', held_there + change) .. sub(between, from + 9)
        else
          newest = newest + change
        end
      end
      places = places + 1
      keys[places], ttls[places] = key, same and KEEP or (head + 14) * length - now + GRACE_MS
      values[places] = pack(WINDOW_STATE, length, head, full, newest, between, oldest)
    end
  else
    --:bucket
    if not level and actual > held then
      level, last, per_ms, scale, capacity = p3, now, p1, p2, p3
    end
    if level then
      local back, over = held - actual, actual - held
      if back > 0 then
        level = back >= ceil((capacity - level) / scale) and capacity or level + back * scale
      else
        level = over > floor((level + LEVEL_MAX) / scale) and -LEVEL_MAX or level - over * scale
      end
      places = places + 1
      keys[places] = key
      ttls[places] = ceil((capacity - level) / per_ms) + (last > now and last - now or 0) + GRACE_MS
      values[places] = pack(BUCKET_STATE, level, last, per_ms, scale, capacity)
    end
  end
end

-- Of the writes only this first one can raise.
call('ZREM', KEYS[2], hold_id)
call('SET', KEYS[1], SETTLED .. '1' .. attempt, 'PX', ARGV[2])
for i = 1, places do
  if ttls[i] == KEEP then
    call('SET', keys[i], values[i], 'KEEPTTL')
  elseif ttls[i] then
    call('SET', keys[i], values[i], 'PX', format('%d', ttls[i]))
  else
    call('ZREM', keys[i], hold_id)
  end
end
return { 1, now }
