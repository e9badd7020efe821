-- What every script begins with: the time, and how a hold is read.
--
-- Numbers are whole and at most 2^53, where doubles are exact. What is stored
-- and what goes back and forth is packed little-endian ('<d' is 8 bytes):
-- reading text or tables would cost more than all the rest. There are few
-- functions here, because a script makes each of its functions anew whenever
-- it is called.
local call, pack, unpack_bytes = redis.call, struct.pack, struct.unpack
local sub, rep, format = string.sub, string.rep, string.format
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min

local clock = call('TIME')
local now = clock[1] * 1000 + floor(clock[2] / 1000)

-- A hold's record is what was reserved, as scripts.rs packs it, and behind
-- that, for each window, the sub-window that was charged:
--   'H', charges, bytes up to there, then for each charge: algorithm, unit,
--   amount, three parameters, key; then slot and context.
-- One that is over is ENDED.
local ENDED = '-'
local HEAD, CHARGE, TEXT = '<c1BI4', '<c1c1ddddI4c0', '<I4c0'

local function corrupt() error('WEIRCORRUPT', 0) end

-- How many charges a record has, where the first is, and how long it is
-- without what follows it.
local function charges_of(record)
  if #record < 6 then corrupt() end
  local mark, charges, size, at = unpack_bytes(HEAD, record)
  if mark ~= 'H' or size > #record then corrupt() end
  return charges, at, size
end
