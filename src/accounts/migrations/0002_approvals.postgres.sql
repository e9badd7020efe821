-- What calls were held back for until somebody approves of them. A row is made by
-- whoever asks, and answered by people; of the same caller, rule and model there is
-- one.
CREATE TABLE approval_requests (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    project TEXT,
    environment TEXT,
    user_name TEXT,
    key_id TEXT NOT NULL,
    plan TEXT NOT NULL,
    rule TEXT NOT NULL,
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    cost_max_nanos BIGINT NOT NULL,
    valid_for_ms BIGINT NOT NULL,
    approvers TEXT,
    approver_role TEXT NOT NULL,
    asked_at_ms BIGINT NOT NULL,
    last_asked_at_ms BIGINT NOT NULL,
    asked_count BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    state TEXT NOT NULL,
    decided_at_ms BIGINT,
    decided_by TEXT,
    note TEXT,
    denied_until_ms BIGINT,
    grant_id TEXT,
    -- Of the last answer, among the changes of keys: whoever has read up to one
    -- misses none before it. Asking is no change that anyone follows.
    changed BIGINT UNIQUE
);
CREATE INDEX approval_requests_tenant ON approval_requests (tenant, state, last_asked_at_ms);

CREATE TABLE approval_grants (
    id TEXT NOT NULL PRIMARY KEY,
    request_id TEXT,
    tenant TEXT NOT NULL,
    project TEXT,
    environment TEXT,
    user_name TEXT,
    key_id TEXT,
    rule TEXT,
    models TEXT,
    -- calls, cost (in nano-dollars) or unlimited.
    allowance TEXT NOT NULL,
    amount BIGINT,
    from_ms BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    granted_at_ms BIGINT NOT NULL,
    granted_by TEXT NOT NULL,
    note TEXT,
    revoked_at_ms BIGINT,
    changed BIGINT NOT NULL UNIQUE
);
CREATE INDEX approval_grants_tenant ON approval_grants (tenant, id);

CREATE TABLE budget_top_ups (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    budget TEXT NOT NULL,
    -- Whose within the tenant: JSON, names by dimension.
    whose TEXT,
    -- cost (in nano-dollars) or tokens.
    unit TEXT NOT NULL,
    amount BIGINT NOT NULL,
    from_ms BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    added_by TEXT NOT NULL,
    note TEXT,
    revoked_at_ms BIGINT,
    changed BIGINT NOT NULL UNIQUE
);
CREATE INDEX budget_top_ups_tenant ON budget_top_ups (tenant, id);
