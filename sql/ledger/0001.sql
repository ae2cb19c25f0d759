-- The ledger: what ran, for which interval, and which run's rows stand. The names in braces are those of the warehouse.
CREATE TABLE IF NOT EXISTS {migrations} (
    version BIGINT PRIMARY KEY,
    applied_at TEXT NOT NULL
);

-- One row per job and interval. generation grows with each attempt; a run whose generation is no longer here has been
-- overtaken and may not write.
CREATE TABLE IF NOT EXISTS {intervals} (
    job TEXT NOT NULL,
    interval_start TEXT NOT NULL,
    interval_end TEXT NOT NULL,
    label TEXT NOT NULL,
    generation BIGINT NOT NULL,
    run_id TEXT,
    rows_published BIGINT,
    content_hash TEXT,
    published_at TEXT,
    PRIMARY KEY (job, interval_start, interval_end)
);

-- One row per attempt.
CREATE TABLE IF NOT EXISTS {runs} (
    run_id TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    interval_start TEXT NOT NULL,
    interval_end TEXT NOT NULL,
    label TEXT NOT NULL,
    generation BIGINT NOT NULL,
    state TEXT NOT NULL,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    rows_published BIGINT,
    content_hash TEXT,
    model TEXT,
    report TEXT
);

CREATE INDEX IF NOT EXISTS {runs_index} ON {runs} (job, interval_start, interval_end);

-- Which job a warehouse table belongs to.
CREATE TABLE IF NOT EXISTS {tables} (
    table_name TEXT PRIMARY KEY,
    job TEXT NOT NULL
);
