-- Tells that a sidecar is alive, and how many are. It writes, so it also shows
-- that the server takes writes: first what takes memory, which a full server
-- refuses only until a script has written anything else.
-- KEYS: the sidecars, by the time until which each counts as alive.
-- ARGV: this one's name, how long it counts.
-- Answers {how many, now}.
call('ZADD', KEYS[1], format('%d', now + ARGV[2]), ARGV[1])
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', format('%d', now))
call('PEXPIRE', KEYS[1], ARGV[2])
return { call('ZCARD', KEYS[1]), now }
