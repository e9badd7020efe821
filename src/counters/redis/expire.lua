-- Hands out holds that are past their expiry: charges stay as they were reserved,
-- leases are released. Each is claimed by one caller for a while; until someone
-- says that it is told of (told.lua), it is handed out again after that.
-- KEYS: open holds of the bucket, claimed ones, what is known of these. The holds'
-- keys are made from a prefix with the same hash tag.
-- ARGV: prefix of hold keys, the most to hand out, ended_ms, claim_ms.
-- Answers {now, {hold id, slot, context}...}; the last two are empty where the
-- hold's record is gone or unreadable: it is nobody's claim then.
local function read(record, hold_id)
  --:record
  for _ = 1, charges do
    local algorithm, unit, amount, room, p1, p2, p3, p4, key
    algorithm, unit, amount, room, p1, p2, p3, p4, key, at = unpack_bytes(CHARGE, record, at)
    if algorithm == LEASES then redis.pcall('ZREM', key, hold_id) end
  end
  local slot, after = unpack_bytes(TEXT, record, at)
  return slot, sub(record, after, size)
end

local most, until_then = tonumber(ARGV[2]), format('%d', now + ARGV[4])
local function due_of(key, limit)
  return call('ZRANGEBYSCORE', key, '-inf', format('%d', now), 'LIMIT', 0, limit)
end
-- Raises where it is of another type, before anything is written.
call('HLEN', KEYS[3])
local again = due_of(KEYS[2], most)
local due = due_of(KEYS[1], most - #again)
local taken, claims = { now }, 0
for _, hold_id in ipairs(again) do
  local known, slot, context = call('HGET', KEYS[3], hold_id), '', ''
  local readable, first, after = pcall(unpack_bytes, TEXT, known or '')
  if readable then
    slot, context = first, sub(known, after)
    call('ZADD', KEYS[2], until_then, hold_id)
    claims = claims + 1
  else
    call('ZREM', KEYS[2], hold_id)
  end
  taken[#taken + 1] = { hold_id, slot, context }
end
for _, hold_id in ipairs(due) do
  local key = ARGV[1] .. hold_id
  local there, record = pcall(call, 'GET', key)
  call('ZREM', KEYS[1], hold_id)
  -- One that has ended meanwhile is nobody's to record.
  if not there or record ~= EXPIRED and (not record or sub(record, 1, 1) ~= SETTLED) then
    local slot, context = '', ''
    if there and record then
      local readable, first, second = pcall(read, record, hold_id)
      if readable then
        slot, context = first, second
        call('HSET', KEYS[3], hold_id, pack(TEXT, #slot, slot) .. context)
        call('ZADD', KEYS[2], until_then, hold_id)
        claims = claims + 1
      end
    end
    call('SET', key, EXPIRED, 'PX', ARGV[3])
    taken[#taken + 1] = { hold_id, slot, context }
  end
end
if claims > 0 then
  call('PEXPIRE', KEYS[2], ARGV[3])
  call('PEXPIRE', KEYS[3], ARGV[3])
end
return taken
