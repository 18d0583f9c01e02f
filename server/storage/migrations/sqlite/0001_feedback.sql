-- Judgements, the answers they are about, what was refused, and daily sums.
-- Ids are unique within a tenant, so that no tenant learns of another's.
CREATE TABLE feedback (
    event_id TEXT NOT NULL CHECK (length(event_id) = 36),
    tenant TEXT NOT NULL,
    response_id TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('accept', 'reject', 'modify', 'rate', 'dismiss')),
    received_at INTEGER NOT NULL CHECK (received_at >= 0),
    payload_sha256 TEXT NOT NULL,
    item_id TEXT,
    item_type TEXT,
    score INTEGER CHECK (score BETWEEN 1 AND 5),
    final_text TEXT,
    tags TEXT NOT NULL,
    comment TEXT,
    occurred_at TEXT,
    metadata TEXT NOT NULL,
    user_id TEXT,
    product_id TEXT,
    scenario TEXT,
    prompt_version TEXT,
    model TEXT,
    arm TEXT,
    manual_sha256 TEXT,
    confidence REAL CHECK (confidence BETWEEN 0 AND 1),
    weight REAL NOT NULL CHECK (weight BETWEEN 0 AND 1),
    confidence_bin INTEGER NOT NULL,
    PRIMARY KEY (event_id, tenant)
) STRICT;

CREATE INDEX feedback_response ON feedback (response_id, tenant);
CREATE INDEX feedback_received ON feedback (tenant, received_at);
CREATE INDEX feedback_user ON feedback (tenant, user_id) WHERE user_id IS NOT NULL;

CREATE TABLE interactions (
    response_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    started_at INTEGER NOT NULL CHECK (started_at >= 0),
    outcome TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    items BLOB NOT NULL,
    finish_reason TEXT NOT NULL,
    language TEXT NOT NULL,
    latency_ms REAL NOT NULL,
    previous_response_id TEXT,
    user_id TEXT,
    product_id TEXT,
    scenario TEXT,
    prompt_version TEXT,
    model TEXT,
    arm TEXT,
    fallback TEXT,
    manual_sha256 TEXT,
    manual_status TEXT,
    answer_cache TEXT,
    confidence REAL,
    is_confused INTEGER NOT NULL CHECK (is_confused IN (0, 1)),
    guidance TEXT,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_usd REAL,
    PRIMARY KEY (response_id, tenant)
) STRICT;

CREATE INDEX interactions_started ON interactions (tenant, started_at);
CREATE INDEX interactions_user ON interactions (tenant, user_id) WHERE user_id IS NOT NULL;

CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at INTEGER NOT NULL,
    original BLOB NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 1
) STRICT;

-- One row per level of detail, day (days since 1970-01-01, UTC) and combination, of which key is
-- a hash.
CREATE TABLE feedback_days (
    level INTEGER NOT NULL,
    day INTEGER NOT NULL,
    key BLOB NOT NULL,
    tenant TEXT NOT NULL,
    action TEXT NOT NULL,
    item_type TEXT NOT NULL,
    product_id TEXT NOT NULL,
    scenario TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt_version TEXT NOT NULL,
    arm TEXT NOT NULL,
    confidence_bin INTEGER NOT NULL,
    events INTEGER NOT NULL,
    weight REAL NOT NULL,
    score_sum INTEGER NOT NULL,
    PRIMARY KEY (tenant, level, day, key)
) STRICT, WITHOUT ROWID;

-- Judgements whose id tells no time belong to the month in which they arrived.
CREATE INDEX feedback_timeless ON feedback (received_at) WHERE substr(event_id, 15, 1) <> '7';

-- For what is removed after its time, of all tenants.
CREATE INDEX interactions_age ON interactions (started_at);
