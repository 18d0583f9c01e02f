-- Who of a fleet does what one doing is enough for, and when it was done last.
CREATE TABLE chores (
    name TEXT PRIMARY KEY,
    token TEXT NOT NULL,
    leased_until INTEGER NOT NULL,
    done_at INTEGER NOT NULL
) STRICT;

-- Persons that were erased, as hashes, so that what arrives late is not stored again.
CREATE TABLE erasures (
    person TEXT PRIMARY KEY,
    erased_at INTEGER NOT NULL
) STRICT;
