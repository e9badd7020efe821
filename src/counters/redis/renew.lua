-- Moves an open hold's expiry later, and that of its leases which are still
-- there. Nothing that ended or expired comes back.
-- KEYS: hold, open holds of the bucket.
-- ARGV: hold id, hold_ttl, lease_ttl, kept_ms.
-- Answers {1 open | 0 not, now}.
local hold_id = ARGV[1]
local hold = read_hold(KEYS[1])
if not hold then return { 0, now } end
local kept = {}
for _, charge in ipairs(hold[3]) do
  if charge[2] == 'c' then
    local expiry = tonumber(redis.call('ZSCORE', charge[1], hold_id) or 0)
    if expiry > now then kept[#kept + 1] = charge[1] end
  end
end
redis.call('ZADD', KEYS[2], 'XX', 'GT', text(now + tonumber(ARGV[2])), hold_id)
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
for _, key in ipairs(kept) do
  redis.call('ZADD', key, 'XX', 'GT', text(now + tonumber(ARGV[3])), hold_id)
  leases.keep(key)
end
return { 1, now }
