-- What others than callers are told of. An id is made of what an alert is of, so
-- that many who make it make it once.
CREATE TABLE alerts (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    tenant TEXT,
    at_ms BIGINT NOT NULL,
    -- What it is of, whatever the period; how far it went, and when its period ends.
    series TEXT NOT NULL,
    level BIGINT NOT NULL,
    ends_at_ms BIGINT NOT NULL,
    -- JSON: what is said of it.
    facts TEXT NOT NULL
);
CREATE INDEX alerts_series ON alerts (series, ends_at_ms);
CREATE INDEX alerts_at ON alerts (at_ms, id);

CREATE TABLE alert_deliveries (
    alert_id TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    webhook TEXT NOT NULL,
    -- waiting, sent or dead.
    state TEXT NOT NULL,
    -- Tries that were begun: who has begun the last one may say what came of it.
    tries BIGINT NOT NULL,
    -- When it may be tried next. While it is being tried, when whoever does so is
    -- taken to be dead.
    next_at_ms BIGINT NOT NULL,
    last_error TEXT,
    done_at_ms BIGINT,
    PRIMARY KEY (alert_id, webhook)
);
CREATE INDEX alert_deliveries_waiting ON alert_deliveries (webhook, next_at_ms)
    WHERE state = 'waiting';
