-- Whose answer it is: with keys, only the principal that asked may resume it.
ALTER TABLE interactions ADD COLUMN principal TEXT NOT NULL DEFAULT '';
