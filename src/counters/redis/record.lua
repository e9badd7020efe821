-- Pasted where `record` is a hold's that isn't over: how many charges it has,
-- where the first is, and how long it is without what follows it.
if #record < 6 then corrupt() end
local mark, charges, size, at = unpack_bytes(HEAD, record)
if mark ~= MARK or size > #record then corrupt() end
