-- Rollups tell apart which model served. Groups of before, and those that a
-- program of before still writes, don't: `tells_served` is false of them, and a
-- report that asks for it reads the rows of their time.
ALTER TABLE usage_group ADD COLUMN model_served TEXT;
ALTER TABLE usage_group ADD COLUMN tells_served BOOLEAN NOT NULL DEFAULT FALSE;
-- Before these times sums are no longer kept.
ALTER TABLE retention ADD COLUMN quarters_from_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE retention ADD COLUMN days_from_ms BIGINT NOT NULL DEFAULT 0;
