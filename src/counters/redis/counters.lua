-- The algorithms of src/limits, made atomic.
local AMOUNT_MAX, LEVEL_MAX = 9007199254740991, 4503599627370495
local FRACTION, GRACE_MS = 65536, 1000
-- A time to live that stays as it is.
local KEEP = 0

-- A window is its sub-window's length, the number of the newest, the sum of the
-- twelve newest counts, and 13 counts, newest first. Only the newest and the
-- oldest are looked at while time stays within one sub-window, so the eleven
-- between them stay as they are, in one piece.
local WINDOW_STATE, WINDOW_BYTES, BETWEEN_BYTES = '<ddddc88d', 128, 88
-- A bucket is its level, the time of that, and its rate: units a millisecond,
-- units a token, capacity.
local BUCKET_STATE, BUCKET_BYTES = '<ddddd', 40
-- A fixed window is its end, its count, and the kind of its period. Its
-- parameters are the limit; the ends of the window that now is and of the one
-- after it, or its length and 0 where it begins with the first hit; the kind.
local FIXED_STATE, FIXED_BYTES = '<ddd', 24
-- Where what it has left is carried into the next, it also is what was carried into
-- it, and its number. Behind the key of such a window are what each has by itself,
-- the most that is carried, and the number of the window that now is.
local CARRYING_STATE, CARRYING_BYTES = '<ddddd', 40
local CARRY, CARRY_BYTES = '<ddd', 24
-- As src/limits/rollover.rs has them; more idle windows make no difference.
local CARRIED_KEPT_MS, IDLE_MAX = 34560000000, 37
