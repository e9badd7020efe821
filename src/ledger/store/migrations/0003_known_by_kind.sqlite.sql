-- Sound and images that were read from the provider's cache; and where the
-- counts of each whole come from, where that isn't as `known` says. Rows from
-- before have none of them: absent in the event, so their hashes stay.
ALTER TABLE calls ADD COLUMN cached_input_audio_tokens INTEGER;
ALTER TABLE calls ADD COLUMN cached_input_image_tokens INTEGER;
ALTER TABLE calls ADD COLUMN input_known TEXT;
ALTER TABLE calls ADD COLUMN output_known TEXT;
ALTER TABLE refusals ADD COLUMN cached_input_audio_tokens INTEGER;
ALTER TABLE refusals ADD COLUMN cached_input_image_tokens INTEGER;
ALTER TABLE refusals ADD COLUMN input_known TEXT;
ALTER TABLE refusals ADD COLUMN output_known TEXT;
-- The words that a key has for its calls, as a JSON object.
ALTER TABLE calls ADD COLUMN labels TEXT;
ALTER TABLE refusals ADD COLUMN labels TEXT;
