-- What outside endpoints are to be told: written with the rows it tells of, removed when delivered.
-- A notice that is lent to a node has its loan, and next_at says when that ends.
CREATE TABLE notices (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    event TEXT NOT NULL,
    tenant TEXT NOT NULL,
    user_id TEXT,
    body BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    loan TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
    error TEXT NOT NULL DEFAULT '',
    UNIQUE (endpoint, message_id)
) STRICT;

CREATE INDEX notices_due ON notices (endpoint, next_at) WHERE state = 'waiting';
CREATE INDEX notices_age ON notices (created_at);
CREATE INDEX notices_user ON notices (tenant, user_id) WHERE user_id IS NOT NULL;
