//! A ledger of the first version, which had no chain, is brought up to date and from then on covers what it held.

use crate::support::*;

const WAREHOUSE: &str = ".daymill/warehouse.sqlite";

/// Takes away what later versions of the ledger brought.
const FIRST: &str = "DROP TABLE daymill_profiles; DROP TABLE daymill_quarantine; DROP TABLE daymill_jobs; DROP TABLE daymill_batches; DROP TABLE daymill_events; DROP TABLE daymill_chain; \
    DROP INDEX daymill_runs_seq; ALTER TABLE daymill_runs DROP COLUMN seq; ALTER TABLE daymill_runs DROP COLUMN batch_id; \
    ALTER TABLE daymill_intervals DROP COLUMN fingerprint; ALTER TABLE daymill_intervals DROP COLUMN inputs; \
    ALTER TABLE daymill_intervals DROP COLUMN millis; ALTER TABLE daymill_intervals DROP COLUMN rows_read; \
    ALTER TABLE daymill_intervals DROP COLUMN table_name; ALTER TABLE daymill_intervals DROP COLUMN columns; \
    DELETE FROM daymill_migrations WHERE version > 1";

fn verify(project: &Project) -> Outcome {
    project.daymill(&["ledger", "verify", "--rows", "carrier_daily"])
}

#[test]
fn attempts_from_before_the_chain_are_part_of_it() {
    let project = Project::flights();
    let run = |day: &str| project.daymill(&["run", "carrier_daily", "--date", day]);
    run("2013-06-01").expect(0);
    run("2013-06-02").expect(0);
    let again = ["run", "carrier_daily", "--date", "2013-06-02"];
    outcome(project.command(&again).env("DAYMILL_KILL", "before-commit").output().unwrap()).expect(137);
    project.edit("sql/carrier_daily/summary.sql", "SELECT\n", "SELECT nonsense,\n");
    run("2013-06-01").expect(78);
    project.edit("sql/carrier_daily/summary.sql", "SELECT nonsense,\n", "SELECT\n");
    execute_sqlite(&project.path(WAREHOUSE), FIRST);
    run("2013-06-03").expect(0);
    verify(&project).expect(0);
    run("2013-06-02").expect(0);
    verify(&project).expect(0);
    let whole = std::fs::read(project.path(WAREHOUSE)).unwrap();
    for (sql, says) in [
        ("UPDATE daymill_runs SET run_id = 'forged' WHERE seq = 1", "run forged: the chain has never heard of it"),
        ("DELETE FROM daymill_runs WHERE state <> 'succeeded'", "attempts of the chain are not in the ledger any more"),
        ("UPDATE daymill_runs SET state = 'succeeded' WHERE state = 'failed'", "the state"),
        ("UPDATE daymill_intervals SET rows_published = 1 WHERE label = '2013-06-01'", "the number of rows"),
    ] {
        std::fs::write(project.path(WAREHOUSE), &whole).unwrap();
        execute_sqlite(&project.path(WAREHOUSE), sql);
        let found = verify(&project).expect(65);
        assert!(found.stderr.contains(says), "{sql}: {says:?} is not in {}", found.stderr);
    }
}
