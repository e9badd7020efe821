-- Keys that may call, or once might. Only a digest is kept of a key, never the
-- key. Rows stay when keys end: who had them when is part of the audit.
CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    digest BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),
    tenant TEXT NOT NULL,
    project TEXT,
    environment TEXT,
    user_name TEXT,
    owner TEXT,
    labels TEXT,
    scopes TEXT,
    limits TEXT,
    created_at_ms BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at_ms BIGINT,
    revoked_at_ms BIGINT,
    replaced_by TEXT,
    last_used_hour BIGINT,
    -- Of the last change, in the order of commits: whoever has read up to one
    -- misses none before it.
    changed BIGINT NOT NULL UNIQUE
);
CREATE INDEX keys_tenant ON keys (tenant, id);

CREATE TABLE admin_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    digest BYTEA NOT NULL UNIQUE CHECK (length(digest) = 32),
    role TEXT NOT NULL,
    tenant TEXT,
    created_at_ms BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at_ms BIGINT,
    revoked_at_ms BIGINT,
    last_used_hour BIGINT
);

-- What was done, by whom: rows that are only ever added, each with a hash that
-- holds the one before it.
CREATE TABLE audit (
    sequence BIGINT NOT NULL PRIMARY KEY,
    hash BYTEA NOT NULL,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    tenant TEXT,
    before TEXT,
    after TEXT
);
CREATE INDEX audit_subject ON audit (subject, sequence);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$;
CREATE TRIGGER audit_rows BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_whole BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- One row, which every change locks first: so changes come one after the other.
-- Its name tells this database from another with the same address.
CREATE TABLE accounts_head (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL,
    changed BIGINT NOT NULL,
    audit_sequence BIGINT NOT NULL,
    audit_hash BYTEA NOT NULL
);
INSERT INTO accounts_head VALUES (1, gen_random_uuid()::text, 0, 0, decode(repeat('00', 32), 'hex'));
