-- What outside endpoints are to be told: written with the rows it tells of, removed when delivered.
-- A notice that is lent to a node has its loan, and next_at says when that ends.
CREATE TABLE notices (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL,
    endpoint text NOT NULL,
    event text NOT NULL,
    tenant text NOT NULL,
    user_id text,
    body bytea NOT NULL,
    created_at bigint NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_at bigint NOT NULL,
    loan text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'dead')),
    error text NOT NULL DEFAULT '',
    UNIQUE (endpoint, message_id)
) WITH (fillfactor = 80);

CREATE INDEX notices_due ON notices (endpoint, next_at) WHERE state = 'waiting';
CREATE INDEX notices_age ON notices (created_at);
CREATE INDEX notices_user ON notices (tenant, user_id) WHERE user_id IS NOT NULL;
