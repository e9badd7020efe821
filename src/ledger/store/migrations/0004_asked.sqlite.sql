-- The model that a call asked for, where it went to another one. Rows from before
-- went to what they asked for: absent in the event, so their hashes stay.
ALTER TABLE calls ADD COLUMN model_asked TEXT;
ALTER TABLE refusals ADD COLUMN model_asked TEXT;
