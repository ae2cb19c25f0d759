//! Edits behind the ledger's back: each is noticed, and none is a defect.

use crate::attacks::{WAREHOUSE, published};
use crate::support::*;

impl Project {
    pub fn tamper(&self, sql: &str) {
        execute_sqlite(&self.path(WAREHOUSE), sql);
    }

    fn verify(&self, head: &str) -> Outcome {
        self.daymill(&["ledger", "verify", "--rows", "carrier_daily", "--head", head])
    }

    fn head(&self) -> String {
        self.daymill(&["ledger", "head"]).expect(0).stdout.trim().to_owned()
    }
}

#[test]
fn any_edit_of_what_was_published_or_recorded_is_noticed() {
    let clean = published();
    let again = ["run", "carrier_daily", "--date", "2013-06-02"];
    outcome(clean.command(&again).env("DAYMILL_KILL", "before-commit").output().unwrap()).expect(137);
    clean.daymill(&again).expect(0);
    let head = clean.head();
    clean.verify(&head).expect(0);
    let bytes = std::fs::read(clean.path(WAREHOUSE)).unwrap();
    for (sql, says) in [
        ("UPDATE daymill_intervals SET columns = ''; UPDATE carrier_daily SET flights = 0", "the columns"),
        (
            "CREATE TABLE kept AS SELECT * FROM carrier_daily; UPDATE carrier_daily SET flights = flights * 10; \
             UPDATE daymill_intervals SET table_name = 'kept'",
            "the table",
        ),
        ("UPDATE carrier_daily SET run_id = '00000000-0000-0000-0000-000000000000'", "carry another run or model"),
        ("UPDATE carrier_daily SET model = 'other', model_version = 9", "carry another run or model"),
        ("DELETE FROM daymill_runs", "attempts of the chain are not in the ledger any more"),
        ("UPDATE daymill_runs SET state = 'failed' WHERE seq = 1", "the state"),
        ("UPDATE daymill_runs SET report = '{}'", "the report"),
        ("UPDATE daymill_runs SET model = 'x@9'", "the model"),
        ("UPDATE daymill_runs SET state = 'failed' WHERE state <> 'succeeded'", "the state"),
        ("UPDATE daymill_runs SET host = 'elsewhere'", "do not agree on the host"),
        ("UPDATE daymill_runs SET pid = 1", "do not agree on the process"),
        ("UPDATE daymill_runs SET job = 'other'", "do not agree on the job"),
        ("UPDATE daymill_runs SET interval_end = '2030-01-01T00:00:00Z'", "do not agree on the interval"),
        ("UPDATE daymill_runs SET generation = 9", "do not agree on the attempt's number"),
        ("UPDATE daymill_runs SET rows_published = 1", "the number of rows"),
        (
            "INSERT INTO daymill_runs SELECT 'forged', job, interval_start, interval_end, label, generation, state, host, pid, started_at, \
             finished_at, rows_published, content_hash, model, report, batch_id, seq FROM daymill_runs LIMIT 1",
            "run forged: the chain has never heard of it",
        ),
        ("UPDATE daymill_intervals SET fingerprint = '{}'", "what made the rows"),
        ("UPDATE daymill_intervals SET inputs = '[]'", "what was read"),
        ("UPDATE daymill_intervals SET generation = 7", "counts 7 attempts"),
        (
            "UPDATE daymill_intervals SET run_id = (SELECT max(run_id) FROM daymill_intervals)",
            "do not agree on the run",
        ),
        ("UPDATE daymill_intervals SET content_hash = '00'", "do not agree on the rows' hash"),
        ("DELETE FROM daymill_events WHERE n = (SELECT max(n) FROM daymill_events)", "are missing"),
        (
            "DELETE FROM daymill_events WHERE n = (SELECT max(n) FROM daymill_events); \
             UPDATE daymill_chain SET n = n - 1, hash = (SELECT hash FROM daymill_events ORDER BY n DESC LIMIT 1)",
            "before the head written down elsewhere",
        ),
        ("UPDATE daymill_events SET job = 'other'", "filed under another job"),
        ("UPDATE daymill_events SET run_id = 'other'", "filed under another job or run"),
        ("UPDATE daymill_tables SET job = 'other'", "is not recorded as the job carrier_daily's"),
        ("DELETE FROM daymill_intervals WHERE label = '2013-06-02'", "are not in the ledger any more"),
        (
            "DROP INDEX carrier_daily_interval; INSERT INTO carrier_daily SELECT * FROM carrier_daily LIMIT 1",
            "are not those that run",
        ),
        (
            "CREATE TEMP TABLE t AS SELECT * FROM carrier_daily LIMIT 1; UPDATE t SET interval_start = '2012-01-01T00:00:00Z'; \
             INSERT INTO carrier_daily SELECT * FROM t",
            "1 rows of carrier_daily with interval_start 2012-01-01T00:00:00Z were published by no run",
        ),
        ("DROP TABLE carrier_daily", "are not those that run"),
    ] {
        std::fs::write(clean.path(WAREHOUSE), &bytes).unwrap();
        clean.tamper(sql);
        let found = clean.verify(&head).expect(65);
        assert!(found.stderr.contains(says), "{sql}: {says:?} is not in {}", found.stderr);
    }
    // Of rows alone it is said that they can be made again.
    std::fs::write(clean.path(WAREHOUSE), &bytes).unwrap();
    clean.tamper("UPDATE carrier_daily SET flights = flights + 1 WHERE interval_start LIKE '2013-06-02%'");
    clean
        .verify(&head)
        .expect(65)
        .says("the ledger is whole, and rows of carrier_daily were changed")
        .says("daymill backfill");
    clean.daymill(&["run", "carrier_daily", "--date", "2013-06-02"]).expect(0);
    clean.verify(&head).expect(0);
}

#[test]
fn what_the_ledger_holds_is_never_a_defect() {
    let clean = published();
    let bytes = std::fs::read(clean.path(WAREHOUSE)).unwrap();
    let commands: [&[&str]; 6] = [
        &["status", "carrier_daily"],
        &["plan", "carrier_daily"],
        &["runs"],
        &["show", "latest"],
        &["run", "carrier_daily", "--date", "2013-06-02"],
        &["ledger", "verify", "--rows", "carrier_daily"],
    ];
    for sql in [
        "UPDATE daymill_events SET body = x'ff00'",
        "UPDATE daymill_events SET hash = x'ff00'",
        "UPDATE daymill_intervals SET label = x'ff00'",
        "UPDATE daymill_intervals SET inputs = x'ff00'",
        "UPDATE daymill_intervals SET interval_start = 'never' WHERE label = '2013-06-02'",
        "UPDATE daymill_runs SET report = x'ff00', host = x'ff00'",
        "UPDATE daymill_runs SET started_at = 'é'",
        "UPDATE daymill_intervals SET generation = 9223372036854775807",
        "UPDATE daymill_chain SET n = -1",
        "DELETE FROM daymill_chain",
    ] {
        for command in commands {
            std::fs::write(clean.path(WAREHOUSE), &bytes).unwrap();
            clean.tamper(sql);
            let ended = clean.daymill(command);
            assert!(![70, 101, 134].contains(&ended.code), "{sql}, {command:?}: {}", ended.stderr);
            if command[0] == "ledger" {
                assert_eq!(
                    ended.code,
                    if sql.contains("started_at") { 0 } else { 65 },
                    "{sql}: {}{}",
                    ended.stdout,
                    ended.stderr
                );
            }
        }
    }
}
