-- Who of a fleet does what one doing is enough for, and when it was done last.
CREATE TABLE chores (
    name text PRIMARY KEY,
    token text NOT NULL,
    leased_until bigint NOT NULL,
    done_at bigint NOT NULL
);

-- Persons that were erased, as hashes, so that what arrives late is not stored again.
CREATE TABLE erasures (
    person text PRIMARY KEY,
    erased_at bigint NOT NULL
);
