-- Ends holds that are past their expiry: charges stay as they were reserved,
-- leases are released. Each is handed to the one caller whose script took it.
-- KEYS: open holds of the bucket. The holds' keys are made from a prefix with
-- the same hash tag.
-- ARGV: prefix of hold keys, the most to take, ended_ms.
-- Answers {now, {hold id, slot, context}...}; the last two are empty where the
-- hold's record is gone or unreadable.
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

local due = call('ZRANGEBYSCORE', KEYS[1], '-inf', format('%d', now), 'LIMIT', 0, ARGV[2])
local taken = { now }
for _, hold_id in ipairs(due) do
  local key = ARGV[1] .. hold_id
  local there, record = pcall(call, 'GET', key)
  call('ZREM', KEYS[1], hold_id)
  -- One that has ended meanwhile is nobody's to record.
  if not there or record ~= EXPIRED and (not record or sub(record, 1, 1) ~= SETTLED) then
    local slot, context = '', ''
    if there and record then
      local readable, first, second = pcall(read, record, hold_id)
      if readable then slot, context = first, second end
    end
    call('SET', key, EXPIRED, 'PX', ARGV[3])
    taken[#taken + 1] = { hold_id, slot, context }
  end
end
return taken
