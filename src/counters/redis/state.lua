-- What every script begins with: the time, and how a hold is read.
--
-- Numbers are whole and at most 2^53, where doubles are exact. What is stored
-- and what goes back and forth is packed little-endian ('<d' is 8 bytes):
-- reading text or tables would cost more than all the rest. A script makes each
-- of its functions anew whenever it is called, so what two scripts share is
-- pasted where a comment line with a colon names it, and not called.
local call, pack, unpack_bytes = redis.call, struct.pack, struct.unpack
local sub, rep, format = string.sub, string.rep, string.format
local floor, ceil = math.floor, math.ceil

local clock = call('TIME')
local now = clock[1] * 1000 + floor(clock[2] / 1000)

-- A hold's record is what was reserved, as packed.rs makes it, and behind that,
-- for each window, the sub-window that was charged, by its number, or by its end:
--   'H', charges, bytes up to there, then for each charge: algorithm, unit,
--   amount, room that it needs, four parameters, key; then slot and context. A unit is the place of
--   what was used of it in settle's arguments; 16 more: it never refuses.
-- One that is over is EXPIRED, or begins with SETTLED, behind which is what its
-- settlement was answered, and which attempt at it that was.
local SETTLED, EXPIRED = '-', 'x'
local HEAD, CHARGE, TEXT = '<BBI4', '<BBddddddI4c0', '<I4c0'
local MARK = 72
-- Algorithms, by their letters f, w, b and c; r is a fixed window that carries.
local FIXED, WINDOW, BUCKET, LEASES, CARRYING = 102, 119, 98, 99, 114
local SHADOW = 16

local function corrupt() error('WEIRCORRUPT', 0) end
