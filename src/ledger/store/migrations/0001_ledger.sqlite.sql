-- Calls that were let through, a row each. An id begins with its time (UUIDv7),
-- so a span of time is a range of ids.
CREATE TABLE calls (
    id BLOB NOT NULL PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    chain BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL,
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
    stream INTEGER NOT NULL,
    cache_hit INTEGER NOT NULL,
    status INTEGER,
    finish_reason TEXT,
    refusal TEXT,
    refused_by TEXT,
    would_refuse TEXT,
    actions TEXT,
    started_at_ms INTEGER,
    first_token_at_ms INTEGER,
    ended_at_ms INTEGER NOT NULL,
    input_tokens INTEGER,
    cached_input_tokens INTEGER,
    cache_write_tokens INTEGER,
    cache_write_1h_tokens INTEGER,
    input_audio_tokens INTEGER,
    input_image_tokens INTEGER,
    output_tokens INTEGER,
    reasoning_tokens INTEGER,
    output_audio_tokens INTEGER,
    output_image_tokens INTEGER,
    searches INTEGER,
    reserved_tokens INTEGER,
    cost_nanos INTEGER,
    cost_parts TEXT,
    price_version TEXT,
    request_bytes INTEGER NOT NULL,
    traceparent TEXT
) STRICT;
-- The primary key also finds a span of time. One tenant's rows, for exports,
-- corrections and reports by user or key:
CREATE INDEX calls_tenant ON calls (tenant, id);
-- The rows of a chain in order, to verify it:
CREATE INDEX calls_chain ON calls (chain, sequence);

-- Calls that weren't.
CREATE TABLE refusals (
    id BLOB NOT NULL PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    chain BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL,
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
    stream INTEGER NOT NULL,
    cache_hit INTEGER NOT NULL,
    status INTEGER,
    finish_reason TEXT,
    refusal TEXT,
    refused_by TEXT,
    would_refuse TEXT,
    actions TEXT,
    started_at_ms INTEGER,
    first_token_at_ms INTEGER,
    ended_at_ms INTEGER NOT NULL,
    input_tokens INTEGER,
    cached_input_tokens INTEGER,
    cache_write_tokens INTEGER,
    cache_write_1h_tokens INTEGER,
    input_audio_tokens INTEGER,
    input_image_tokens INTEGER,
    output_tokens INTEGER,
    reasoning_tokens INTEGER,
    output_audio_tokens INTEGER,
    output_image_tokens INTEGER,
    searches INTEGER,
    reserved_tokens INTEGER,
    cost_nanos INTEGER,
    cost_parts TEXT,
    price_version TEXT,
    request_bytes INTEGER NOT NULL,
    traceparent TEXT
) STRICT;
CREATE INDEX refusals_tenant ON refusals (tenant, id);
CREATE INDEX refusals_chain ON refusals (chain, sequence);

-- Rows that were never taken, or lost to another with the same id, as they were
-- written.
CREATE TABLE set_aside (
    chain BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    set_aside_at_ms INTEGER NOT NULL,
    why TEXT NOT NULL,
    wire BLOB NOT NULL,
    PRIMARY KEY (chain, sequence)
) STRICT;

-- Where each chain ends; and where what is kept of it begins.
CREATE TABLE chains (
    chain BLOB NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL,
    written_at_ms INTEGER NOT NULL,
    dropped_sequence INTEGER NOT NULL DEFAULT 0,
    dropped_hash BLOB
) STRICT, WITHOUT ROWID;

-- Corrections of what calls cost.
CREATE TABLE adjustments (
    id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    run_id BLOB NOT NULL,
    adjusted_at_ms INTEGER NOT NULL,
    delta_nanos INTEGER NOT NULL,
    price_version TEXT,
    reason TEXT NOT NULL,
    PRIMARY KEY (event_id, run_id)
) STRICT, WITHOUT ROWID;

-- The names of rollups' groups, by a hash of them.
CREATE TABLE usage_group (
    group_key BLOB NOT NULL PRIMARY KEY,
    tenant TEXT,
    project TEXT,
    environment TEXT,
    plan TEXT,
    model TEXT,
    provider TEXT,
    endpoint TEXT,
    outcome TEXT
) STRICT, WITHOUT ROWID;

-- Sums by quarter of an hour and by day (UTC): found by time, or, for reports of
-- some groups, by group.
CREATE TABLE usage_quarter (
    bucket_ms INTEGER NOT NULL,
    group_key BLOB NOT NULL,
    calls INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    input_audio_tokens INTEGER NOT NULL,
    input_image_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    output_audio_tokens INTEGER NOT NULL,
    output_image_tokens INTEGER NOT NULL,
    searches INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,
    adjustment_nanos INTEGER NOT NULL,
    PRIMARY KEY (bucket_ms, group_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_quarter_group ON usage_quarter (group_key, bucket_ms);
CREATE TABLE usage_day (
    bucket_ms INTEGER NOT NULL,
    group_key BLOB NOT NULL,
    calls INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    input_audio_tokens INTEGER NOT NULL,
    input_image_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    output_audio_tokens INTEGER NOT NULL,
    output_image_tokens INTEGER NOT NULL,
    searches INTEGER NOT NULL,
    cost_nanos INTEGER NOT NULL,
    adjustment_nanos INTEGER NOT NULL,
    PRIMARY KEY (bucket_ms, group_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_day_group ON usage_day (group_key, bucket_ms);

-- Before this time rows are no longer kept.
CREATE TABLE retention (
    only_row INTEGER NOT NULL PRIMARY KEY,
    kept_from_ms INTEGER NOT NULL
) STRICT;
INSERT INTO retention VALUES (1, 0);
