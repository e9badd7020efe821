-- Expired holds are told of for good: nobody is handed them again.
-- KEYS: claimed holds of the bucket, what is known of these.
-- ARGV: the holds' ids.
-- Answers {1, now}.
for _, hold_id in ipairs(ARGV) do
  call('ZREM', KEYS[1], hold_id)
  call('HDEL', KEYS[2], hold_id)
end
return { 1, now }
