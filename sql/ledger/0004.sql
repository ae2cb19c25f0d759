-- What the values of each column of a published interval are, beside its rows: replaced with them, in one transaction.
CREATE TABLE {profiles} (
    job TEXT NOT NULL,
    interval_start TEXT NOT NULL,
    interval_end TEXT NOT NULL,
    -- feature, score or column
    side TEXT NOT NULL,
    column_name TEXT NOT NULL,
    -- A part of the rows; empty: all of them.
    slice TEXT NOT NULL,
    run_id TEXT NOT NULL,
    model TEXT,
    -- Rows, and how many of them hold no number.
    n BIGINT NOT NULL,
    nulls BIGINT NOT NULL,
    nans BIGINT NOT NULL,
    infinities BIGINT NOT NULL,
    zeros BIGINT NOT NULL,
    distinct_words BIGINT,
    min_value DOUBLE PRECISION,
    max_value DOUBLE PRECISION,
    mean DOUBLE PRECISION,
    -- The sum of the squared distances from the mean.
    squares DOUBLE PRECISION,
    q01 DOUBLE PRECISION,
    q05 DOUBLE PRECISION,
    q25 DOUBLE PRECISION,
    q50 DOUBLE PRECISION,
    q75 DOUBLE PRECISION,
    q95 DOUBLE PRECISION,
    q99 DOUBLE PRECISION,
    -- JSON: {"groups": [[low, high, count], ...]}, where a null high is the next low, or {"words": [[word, count], ...], "others": count}
    distribution TEXT,
    PRIMARY KEY (job, interval_start, interval_end, side, column_name, slice)
);

-- Rows of a published interval that broke a rule of the job and were put aside: replaced with the interval's rows.
CREATE TABLE {quarantine} (
    job TEXT NOT NULL,
    interval_start TEXT NOT NULL,
    interval_end TEXT NOT NULL,
    -- In the order of the key as text, from 0.
    n BIGINT NOT NULL,
    run_id TEXT NOT NULL,
    -- The first rule that the row breaks, and all of them as JSON.
    rule TEXT NOT NULL,
    rules TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- transform or score: after which the rule was asked.
    stage TEXT NOT NULL,
    -- JSON objects: the key, and all columns that are known.
    key_values TEXT NOT NULL,
    row_values TEXT NOT NULL,
    quarantined_at TEXT NOT NULL,
    -- open or discarded, and why it was discarded.
    state TEXT NOT NULL,
    note TEXT,
    PRIMARY KEY (job, interval_start, interval_end, n)
);
