-- Ends a hold: each charge becomes what was used, leases are released.
-- KEYS: hold, open holds of the bucket. The counters' keys are in the hold and
-- carry the same hash tag.
-- ARGV: hold id, requests, tokens, ended_ms.
-- Answers {1 applied | 0 already, now}. A hold that isn't there is marked as
-- ended, so that a reservation which comes after its settlement takes nothing.
local hold_id = ARGV[1]
local record = call('GET', KEYS[1])
if not record or record == ENDED then
  if not record then call('SET', KEYS[1], ENDED, 'PX', ARGV[4]) end
  return { 0, now }
end

-- All is read and computed before anything is written.
local keys, values, ttls = {}, {}, {}
local leases = {}
local charges, at, charged_at = charges_of(record)
for _ = 1, charges do
  local kind, unit, held, p1, p2, p3, key
  kind, unit, held, p1, p2, p3, key, at = unpack_bytes(CHARGE, record, at)
  local used = tonumber(unit == 'r' and ARGV[2] or ARGV[3])
  if kind == 'w' then
    local charged = unpack_bytes('<d', record, charged_at + 1)
    charged_at = charged_at + 8
    if used ~= held then
      local length, head, full, newest, between, oldest = window_of(key)
      if not length and used > held then
        length, head, full, newest, between, oldest =
          p2, floor(now / p2), 0, 0, rep('\0', BETWEEN_BYTES), 0
      end
      -- Where nothing is stored any more, a refund has nowhere to go.
      if length then
        -- How many sub-windows ago; nil where that is over.
        local age = length == p2 and head - charged or -1
        if age < 0 or age > 12 then age = nil end
        if age == 12 then
          oldest = max(0, min(AMOUNT_MAX, oldest + used - held))
        elseif age or used > held then
          local count, from = newest, nil
          if age and age > 0 then
            from = 8 * (age - 1)
            count = unpack_bytes('<d', between, from + 1)
          end
          local change = max(-count, min(used - held, max(0, AMOUNT_MAX - full)))
          full = full + change
          if from then
            between = sub(between, 1, from) .. pack('<d', count + change) .. sub(between, from + 9)
          else
            newest = newest + change
          end
        end
        local i = #keys + 1
        keys[i], ttls[i] = key, window_ttl(length, head)
        values[i] = pack(WINDOW, length, head, full, newest, between, oldest)
      end
    end
  elseif kind == 'b' then
    if used ~= held then
      local level, last, per_ms, scale, capacity = bucket_of(key)
      if not level and used > held then
        level, last, per_ms, scale, capacity = p3, now, p1, p2, p3
      end
      if level then
        local back, over = held - used, used - held
        if back > 0 then
          level = back >= ceil((capacity - level) / scale) and capacity or level + back * scale
        else
          level = over > floor((level + LEVEL_MAX) / scale) and -LEVEL_MAX or level - over * scale
        end
        local i = #keys + 1
        keys[i], ttls[i] = key, bucket_ttl(level, last, per_ms, capacity)
        values[i] = pack(BUCKET, level, last, per_ms, scale, capacity)
      end
    end
  else
    -- Raises where it is of another type.
    call('ZCARD', key)
    leases[#leases + 1] = key
  end
end

-- Of the writes only this first one can raise.
call('ZREM', KEYS[2], hold_id)
call('SET', KEYS[1], ENDED, 'PX', ARGV[4])
for i = 1, #leases do call('ZREM', leases[i], hold_id) end
for i = 1, #keys do call('SET', keys[i], values[i], 'PX', format('%d', ttls[i])) end
return { 1, now }
