-- Sums over spans of 1, 4, 16 and 64 days, made from the daily ones after the days are over. A
-- level keeps one or two dimensions apart, and place numbers the sums of a span in it.
CREATE TABLE feedback_spans (
    tenant TEXT NOT NULL,
    level INTEGER NOT NULL,
    span INTEGER NOT NULL,
    day INTEGER NOT NULL,
    place INTEGER NOT NULL,
    accepted REAL NOT NULL,
    rejected REAL NOT NULL,
    modified REAL NOT NULL,
    dismissed REAL NOT NULL,
    rated INTEGER NOT NULL,
    score_sum INTEGER NOT NULL,
    item_type TEXT NOT NULL,
    product_id TEXT NOT NULL,
    scenario TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt_version TEXT NOT NULL,
    arm TEXT NOT NULL,
    confidence_bin INTEGER NOT NULL,
    PRIMARY KEY (tenant, level, span, day, place)
) STRICT, WITHOUT ROWID;

-- How often the sums of a day were changed, and of which revision of its days each level of a
-- span was made: it counts only while both are the same.
CREATE TABLE feedback_changes (
    tenant TEXT NOT NULL,
    day INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (tenant, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE feedback_built (
    tenant TEXT NOT NULL,
    level INTEGER NOT NULL,
    span INTEGER NOT NULL,
    day INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (tenant, level, span, day)
) STRICT, WITHOUT ROWID;

INSERT INTO feedback_changes SELECT DISTINCT tenant, day, 1 FROM feedback_days WHERE level = 0;

-- One product among many, over many days: its sums without those of the others.
CREATE INDEX feedback_days_product ON feedback_days (tenant, product_id, day)
    WHERE level = 2 AND product_id <> '';
CREATE INDEX feedback_spans_product ON feedback_spans (tenant, product_id, level, day)
    WHERE span = 1 AND product_id <> '';

-- What statistics read of the judgements themselves (parts of days, one person) is in the index.
DROP INDEX feedback_received;
CREATE INDEX feedback_received ON feedback (
    tenant, received_at, action, item_type, product_id, scenario, model, prompt_version, arm,
    confidence_bin, weight, score
);
DROP INDEX feedback_user;
CREATE INDEX feedback_user ON feedback (
    tenant, user_id, received_at, action, item_type, product_id, weight, score
) WHERE user_id IS NOT NULL;
