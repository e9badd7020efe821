-- Moves an open hold's expiry later, and that of its leases, which are back
-- where they had lapsed: who renews a call runs it still. Nothing that ended or
-- expired comes back.
-- KEYS: hold, open holds of the bucket.
-- ARGV: hold id, hold_ttl, lease_ttl, kept_ms.
-- Answers {1 open | 0 not, now}.
local hold_id, kept = ARGV[1], ARGV[4]
local record = call('GET', KEYS[1])
if not record or record == EXPIRED or sub(record, 1, 1) == SETTLED then return { 0, now } end
local leased = {}
--:record
for _ = 1, charges do
  local algorithm, unit, amount, room, p1, p2, p3, p4, key
  algorithm, unit, amount, room, p1, p2, p3, p4, key, at = unpack_bytes(CHARGE, record, at)
  if algorithm == LEASES then
    -- Raises where it is of another type.
    call('ZCARD', key)
    leased[#leased + 1] = key
  end
end
call('ZADD', KEYS[2], 'XX', 'GT', format('%d', now + ARGV[2]), hold_id)
call('PEXPIRE', KEYS[2], kept)
call('PEXPIRE', KEYS[1], kept)
for i = 1, #leased do
  call('ZADD', leased[i], 'GT', format('%d', now + ARGV[3]), hold_id)
  call('PEXPIRE', leased[i], kept)
end
return { 1, now }
