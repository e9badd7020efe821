-- Calls that were let through, a row each. An id begins with its time (UUIDv7),
-- so a month's calls are a range of ids, and a partition: the same id always
-- falls into the same one, where it can be only once. Partitions of months are
-- made by whoever writes; these two take ids of clocks that are far off.
CREATE TABLE calls (
    id UUID NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    chain UUID NOT NULL,
    sequence BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    outcome TEXT NOT NULL,
    known TEXT,
    tenant TEXT,
    project TEXT,
    environment TEXT,
    user_name TEXT,
    key_id TEXT,
    plan TEXT,
    endpoint TEXT,
    dialect TEXT NOT NULL,
    provider TEXT,
    model TEXT,
    model_served TEXT,
    service_tier TEXT,
    stream BOOLEAN NOT NULL,
    cache_hit BOOLEAN NOT NULL,
    status BIGINT,
    finish_reason TEXT,
    refusal TEXT,
    refused_by TEXT,
    would_refuse TEXT,
    actions TEXT,
    started_at_ms BIGINT,
    first_token_at_ms BIGINT,
    ended_at_ms BIGINT NOT NULL,
    input_tokens BIGINT,
    cached_input_tokens BIGINT,
    cache_write_tokens BIGINT,
    cache_write_1h_tokens BIGINT,
    input_audio_tokens BIGINT,
    input_image_tokens BIGINT,
    output_tokens BIGINT,
    reasoning_tokens BIGINT,
    output_audio_tokens BIGINT,
    output_image_tokens BIGINT,
    searches BIGINT,
    reserved_tokens BIGINT,
    cost_nanos BIGINT,
    cost_parts TEXT,
    price_version TEXT,
    request_bytes BIGINT NOT NULL,
    traceparent TEXT
) PARTITION BY RANGE (id);
CREATE TABLE calls_early PARTITION OF calls
    FOR VALUES FROM (MINVALUE) TO ('016f5e66-e800-0000-0000-000000000000');
CREATE TABLE calls_late PARTITION OF calls
    FOR VALUES FROM ('03bb2cc3-d800-0000-0000-000000000000') TO (MAXVALUE);
-- The primary key also finds a span of time. One tenant's rows, for exports,
-- corrections and reports by user or key:
CREATE INDEX calls_tenant ON calls (tenant, id);
-- The rows of a chain in order, to verify it:
CREATE INDEX calls_chain ON calls (chain, sequence);

-- Calls that weren't.
CREATE TABLE refusals (
    id UUID NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    chain UUID NOT NULL,
    sequence BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    outcome TEXT NOT NULL,
    known TEXT,
    tenant TEXT,
    project TEXT,
    environment TEXT,
    user_name TEXT,
    key_id TEXT,
    plan TEXT,
    endpoint TEXT,
    dialect TEXT NOT NULL,
    provider TEXT,
    model TEXT,
    model_served TEXT,
    service_tier TEXT,
    stream BOOLEAN NOT NULL,
    cache_hit BOOLEAN NOT NULL,
    status BIGINT,
    finish_reason TEXT,
    refusal TEXT,
    refused_by TEXT,
    would_refuse TEXT,
    actions TEXT,
    started_at_ms BIGINT,
    first_token_at_ms BIGINT,
    ended_at_ms BIGINT NOT NULL,
    input_tokens BIGINT,
    cached_input_tokens BIGINT,
    cache_write_tokens BIGINT,
    cache_write_1h_tokens BIGINT,
    input_audio_tokens BIGINT,
    input_image_tokens BIGINT,
    output_tokens BIGINT,
    reasoning_tokens BIGINT,
    output_audio_tokens BIGINT,
    output_image_tokens BIGINT,
    searches BIGINT,
    reserved_tokens BIGINT,
    cost_nanos BIGINT,
    cost_parts TEXT,
    price_version TEXT,
    request_bytes BIGINT NOT NULL,
    traceparent TEXT
) PARTITION BY RANGE (id);
CREATE TABLE refusals_early PARTITION OF refusals
    FOR VALUES FROM (MINVALUE) TO ('016f5e66-e800-0000-0000-000000000000');
CREATE TABLE refusals_late PARTITION OF refusals
    FOR VALUES FROM ('03bb2cc3-d800-0000-0000-000000000000') TO (MAXVALUE);
CREATE INDEX refusals_tenant ON refusals (tenant, id);
CREATE INDEX refusals_chain ON refusals (chain, sequence);

-- Rows that were never taken, or lost to another with the same id, as they were
-- written.
CREATE TABLE set_aside (
    chain UUID NOT NULL,
    sequence BIGINT NOT NULL,
    event_id UUID NOT NULL,
    set_aside_at_ms BIGINT NOT NULL,
    why TEXT NOT NULL,
    wire BYTEA NOT NULL,
    PRIMARY KEY (chain, sequence)
);

-- Where each chain ends; and where what is kept of it begins.
CREATE TABLE chains (
    chain UUID NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    written_at_ms BIGINT NOT NULL,
    dropped_sequence BIGINT NOT NULL DEFAULT 0,
    dropped_hash BYTEA
) WITH (fillfactor = 50);

-- Corrections of what calls cost.
CREATE TABLE adjustments (
    id UUID NOT NULL,
    event_id UUID NOT NULL,
    run_id UUID NOT NULL,
    adjusted_at_ms BIGINT NOT NULL,
    delta_nanos BIGINT NOT NULL,
    price_version TEXT,
    reason TEXT NOT NULL,
    PRIMARY KEY (event_id, run_id)
);

-- The names of rollups' groups, by a hash of them.
CREATE TABLE usage_group (
    group_key UUID NOT NULL PRIMARY KEY,
    tenant TEXT,
    project TEXT,
    environment TEXT,
    plan TEXT,
    model TEXT,
    provider TEXT,
    endpoint TEXT,
    outcome TEXT
);

-- Sums by quarter of an hour and by day (UTC): found by time, or, for reports of
-- some groups, by group. Their rows are updated in place: room is left for that.
CREATE TABLE usage_quarter (
    bucket_ms BIGINT NOT NULL,
    group_key UUID NOT NULL,
    calls BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    cache_write_1h_tokens BIGINT NOT NULL,
    input_audio_tokens BIGINT NOT NULL,
    input_image_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    output_audio_tokens BIGINT NOT NULL,
    output_image_tokens BIGINT NOT NULL,
    searches BIGINT NOT NULL,
    cost_nanos BIGINT NOT NULL,
    adjustment_nanos BIGINT NOT NULL,
    PRIMARY KEY (bucket_ms, group_key)
) WITH (fillfactor = 70);
CREATE INDEX usage_quarter_group ON usage_quarter (group_key, bucket_ms);
CREATE TABLE usage_day (
    bucket_ms BIGINT NOT NULL,
    group_key UUID NOT NULL,
    calls BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    cache_write_1h_tokens BIGINT NOT NULL,
    input_audio_tokens BIGINT NOT NULL,
    input_image_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    output_audio_tokens BIGINT NOT NULL,
    output_image_tokens BIGINT NOT NULL,
    searches BIGINT NOT NULL,
    cost_nanos BIGINT NOT NULL,
    adjustment_nanos BIGINT NOT NULL,
    PRIMARY KEY (bucket_ms, group_key)
) WITH (fillfactor = 70);
CREATE INDEX usage_day_group ON usage_day (group_key, bucket_ms);

-- Before this time rows are no longer kept.
CREATE TABLE retention (
    only_row BIGINT NOT NULL PRIMARY KEY,
    kept_from_ms BIGINT NOT NULL
);
INSERT INTO retention VALUES (1, 0);
