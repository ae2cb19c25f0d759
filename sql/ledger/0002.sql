-- What made the rows that stand, so that a later look can tell whether the same would be made today.
ALTER TABLE {runs} ADD COLUMN batch_id TEXT;
ALTER TABLE {intervals} ADD COLUMN fingerprint TEXT;
ALTER TABLE {intervals} ADD COLUMN inputs TEXT;
ALTER TABLE {intervals} ADD COLUMN millis BIGINT;
ALTER TABLE {intervals} ADD COLUMN rows_read BIGINT;
-- Where its rows are, and their columns in the order in which they were hashed.
ALTER TABLE {intervals} ADD COLUMN table_name TEXT;
ALTER TABLE {intervals} ADD COLUMN columns TEXT;

-- A backfill as it was resolved; a retry replays exactly this.
CREATE TABLE {batches} (
    batch_id TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    created_at TEXT NOT NULL,
    plan TEXT NOT NULL
);

-- One record per event, each with the hash of the one before: hash = SHA-256 of "daymill ledger 1", n, the hash
-- before and body, on a line each.
CREATE TABLE {events} (
    n BIGINT PRIMARY KEY,
    job TEXT NOT NULL,
    run_id TEXT,
    body TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX {events_index} ON {events} (job, n);

-- The end of the chain; its row is the lock under which events are numbered.
CREATE TABLE {chain} (
    id BIGINT PRIMARY KEY,
    n BIGINT NOT NULL,
    hash TEXT NOT NULL,
    -- The schema of the published tables: one ledger speaks of one.
    home TEXT
);
INSERT INTO {chain} (id, n, hash) VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
