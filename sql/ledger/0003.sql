-- Which project a job belongs to: two projects in one warehouse may have jobs of one name.
CREATE TABLE {jobs} (
    job TEXT PRIMARY KEY,
    -- The id of its daymill.toml; empty when that has none.
    project TEXT NOT NULL
);

-- Where an attempt stands in the chain: the order of attempts, whatever the clocks said.
ALTER TABLE {runs} ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
CREATE INDEX {events_run_index} ON {events} (run_id);
UPDATE {runs} SET seq = coalesce((SELECT min(e.n) FROM {events} e WHERE e.run_id = {runs}.run_id), 0);
CREATE INDEX {runs_seq_index} ON {runs} (seq, run_id);
