-- Ends holds that are past their expiry: charges stay as they were reserved,
-- leases are released. Each is handed to the one caller whose script took it.
-- KEYS: open holds of the bucket. The holds' keys are made from a prefix with
-- the same hash tag.
-- ARGV: prefix of hold keys, the most to take, ended_ms.
-- Answers {now, {hold id, slot, context}...}; the last two are empty where the
-- hold's record is gone or unreadable.
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, ARGV[2])
local taken = { now }
for _, hold_id in ipairs(due) do
  local key = ARGV[1] .. hold_id
  local ok, hold, raw = pcall(read_hold, key)
  redis.call('ZREM', KEYS[1], hold_id)
  -- One that has ended meanwhile is nobody's to record.
  if not (ok and raw == ENDED) then
    local slot, context = '', ''
    if ok and hold then
      slot, context = hold[1], hold[2]
      for _, charge in ipairs(hold[3]) do
        if charge[2] == 'c' then redis.pcall('ZREM', charge[1], hold_id) end
      end
    end
    redis.call('SET', key, ENDED, 'PX', ARGV[3])
    taken[#taken + 1] = { hold_id, slot, context }
  end
end
return taken
