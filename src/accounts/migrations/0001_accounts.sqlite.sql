-- Keys that may call, or once might. Only a digest is kept of a key, never the
-- key. Rows stay when keys end: who had them when is part of the audit.
CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    tenant TEXT NOT NULL,
    project TEXT,
    environment TEXT,
    user_name TEXT,
    owner TEXT,
    labels TEXT,
    scopes TEXT,
    limits TEXT,
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at_ms INTEGER,
    revoked_at_ms INTEGER,
    replaced_by TEXT,
    last_used_hour INTEGER,
    -- Of the last change, in the order of commits: whoever has read up to one
    -- misses none before it.
    changed INTEGER NOT NULL UNIQUE
) STRICT;
CREATE INDEX keys_tenant ON keys (tenant, id);

CREATE TABLE admin_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    role TEXT NOT NULL,
    tenant TEXT,
    created_at_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at_ms INTEGER,
    revoked_at_ms INTEGER,
    last_used_hour INTEGER
) STRICT;

-- What was done, by whom: rows that are only ever added, each with a hash that
-- holds the one before it.
CREATE TABLE audit (
    sequence INTEGER NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    tenant TEXT,
    before TEXT,
    after TEXT
) STRICT;
CREATE INDEX audit_subject ON audit (subject, sequence);

CREATE TRIGGER audit_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
-- One that would take the place of another.
CREATE TRIGGER audit_replace BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE sequence = NEW.sequence)
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

-- One row, which every change locks first: so changes come one after the other.
-- Its name tells this database from another with the same address.
CREATE TABLE accounts_head (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL,
    changed INTEGER NOT NULL,
    audit_sequence INTEGER NOT NULL,
    audit_hash BLOB NOT NULL
) STRICT;
INSERT INTO accounts_head VALUES (1, lower(hex(randomblob(16))), 0, 0, zeroblob(32));
