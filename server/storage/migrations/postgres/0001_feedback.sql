-- Judgements, the answers they are about, what was refused, and daily sums.
-- Ids are unique within a tenant, so that no tenant learns of another's.
-- Partitions are ranges of the UUIDv7 id, one per month: the id's own time decides, never arrival,
-- so that a repeated id always meets its first row. Other ids fall into the default partition.
CREATE TABLE feedback (
    event_id uuid NOT NULL,
    tenant text NOT NULL,
    response_id text NOT NULL,
    action text NOT NULL CHECK (action IN ('accept', 'reject', 'modify', 'rate', 'dismiss')),
    received_at bigint NOT NULL CHECK (received_at >= 0),
    payload_sha256 text NOT NULL,
    item_id text,
    item_type text,
    score smallint CHECK (score BETWEEN 1 AND 5),
    final_text text,
    tags text NOT NULL,
    comment text,
    occurred_at text,
    metadata text NOT NULL,
    user_id text,
    product_id text,
    scenario text,
    prompt_version text,
    model text,
    arm text,
    manual_sha256 text,
    confidence double precision CHECK (confidence BETWEEN 0 AND 1),
    weight double precision NOT NULL CHECK (weight BETWEEN 0 AND 1),
    confidence_bin smallint NOT NULL,
    PRIMARY KEY (event_id, tenant)
) PARTITION BY RANGE (event_id);

CREATE TABLE feedback_default PARTITION OF feedback DEFAULT;

CREATE INDEX feedback_response ON feedback (response_id, tenant);
CREATE INDEX feedback_received ON feedback (tenant, received_at);
CREATE INDEX feedback_user ON feedback (tenant, user_id) WHERE user_id IS NOT NULL;

CREATE TABLE interactions (
    response_id text NOT NULL,
    tenant text NOT NULL,
    started_at bigint NOT NULL CHECK (started_at >= 0),
    outcome text NOT NULL,
    question text NOT NULL,
    answer text NOT NULL,
    items bytea NOT NULL,
    finish_reason text NOT NULL,
    language text NOT NULL,
    latency_ms double precision NOT NULL,
    previous_response_id text,
    user_id text,
    product_id text,
    scenario text,
    prompt_version text,
    model text,
    arm text,
    fallback text,
    manual_sha256 text,
    manual_status text,
    answer_cache text,
    confidence double precision,
    is_confused boolean NOT NULL,
    guidance text,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost_usd double precision,
    PRIMARY KEY (response_id, tenant)
);

CREATE INDEX interactions_started ON interactions (tenant, started_at);
CREATE INDEX interactions_user ON interactions (tenant, user_id) WHERE user_id IS NOT NULL;

CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at bigint NOT NULL,
    original bytea NOT NULL,
    reason text NOT NULL,
    attempts integer NOT NULL DEFAULT 1
);

-- One row per level of detail, day (days since 1970-01-01, UTC), combination, of which key is a
-- hash, and shard. Each connection adds to a shard of its own, so that the commits of several nodes do
-- not wait for one another's rows.
CREATE TABLE feedback_days (
    level smallint NOT NULL,
    day integer NOT NULL,
    key bytea NOT NULL,
    shard smallint NOT NULL,
    tenant text NOT NULL,
    action text NOT NULL,
    item_type text NOT NULL,
    product_id text NOT NULL,
    scenario text NOT NULL,
    model text NOT NULL,
    prompt_version text NOT NULL,
    arm text NOT NULL,
    confidence_bin smallint NOT NULL,
    events bigint NOT NULL,
    weight double precision NOT NULL,
    score_sum bigint NOT NULL,
    PRIMARY KEY (tenant, level, day, key, shard)
) WITH (fillfactor = 80);

-- Judgements whose id tells no time belong to the month in which they arrived.
CREATE INDEX feedback_timeless ON feedback_default (received_at);

-- For what is removed after its time, of all tenants.
CREATE INDEX interactions_age ON interactions (started_at);
