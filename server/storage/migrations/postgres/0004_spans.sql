-- Sums over spans of 1, 4, 16 and 64 days, made from the daily ones after the days are over. A
-- level keeps one or two dimensions apart, and place numbers the sums of a span in it.
CREATE TABLE feedback_spans (
    tenant text NOT NULL,
    level smallint NOT NULL,
    span smallint NOT NULL,
    day integer NOT NULL,
    place integer NOT NULL,
    accepted double precision NOT NULL,
    rejected double precision NOT NULL,
    modified double precision NOT NULL,
    dismissed double precision NOT NULL,
    rated bigint NOT NULL,
    score_sum bigint NOT NULL,
    item_type text NOT NULL,
    product_id text NOT NULL,
    scenario text NOT NULL,
    model text NOT NULL,
    prompt_version text NOT NULL,
    arm text NOT NULL,
    confidence_bin smallint NOT NULL,
    PRIMARY KEY (tenant, level, span, day, place)
);

-- How often the sums of a day were changed, and of which revision of its days each level of a
-- span was made: it counts only while both are the same. Each connection counts in a shard of its own.
CREATE TABLE feedback_changes (
    tenant text NOT NULL,
    day integer NOT NULL,
    shard smallint NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (tenant, day, shard)
) WITH (fillfactor = 50);

CREATE TABLE feedback_built (
    tenant text NOT NULL,
    level smallint NOT NULL,
    span smallint NOT NULL,
    day integer NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (tenant, level, span, day)
);

INSERT INTO feedback_changes SELECT DISTINCT tenant, day, 0, 1 FROM feedback_days WHERE level = 0;

-- One product among many, over many days: its sums without those of the others. Hashed, as its
-- text may be too long for an index.
CREATE INDEX feedback_days_product ON feedback_days (tenant, md5(product_id), day)
    WHERE level = 2 AND product_id <> '';
CREATE INDEX feedback_spans_product ON feedback_spans (tenant, md5(product_id), level, day)
    WHERE span = 1 AND product_id <> '';
