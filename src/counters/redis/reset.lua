-- Puts counters at rest. What open holds took from them is forgotten, so that
-- their ends give nothing back that others took since.
-- KEYS: open holds of the bucket, then the counters; none of them leases.
-- ARGV: what the names of holds begin with.
-- Answers {1, now}.
local at_rest, nothing = {}, pack('<d', 0)
for i = 2, #KEYS do at_rest[KEYS[i]] = true end
for _, hold_id in ipairs(call('ZRANGE', KEYS[1], 0, -1)) do
  local name = ARGV[1] .. hold_id
  local record = call('GET', name)
  if record and record ~= EXPIRED and sub(record, 1, 1) ~= SETTLED then
    --:record
    local forgot = false
    for _ = 1, charges do
      local from = at
      local algorithm, unit, held, room, p1, p2, p3, p4, key
      algorithm, unit, held, room, p1, p2, p3, p4, key, at = unpack_bytes(CHARGE, record, at)
      if algorithm == CARRYING then key = sub(key, 1, -CARRY_BYTES - 1) end
      if at_rest[key] and held > 0 then
        record = sub(record, 1, from + 1) .. nothing .. sub(record, from + 10)
        forgot = true
      end
    end
    if forgot then call('SET', name, record, 'KEEPTTL') end
  end
end
for i = 2, #KEYS do call('UNLINK', KEYS[i]) end
return { 1, now }
