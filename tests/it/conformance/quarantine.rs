//! Rows that break a rule are put aside in every warehouse, in the transaction of the rows that are published.

use super::warehouses::{DAY, House, houses};

/// Rows 0 to 9: row 3 has no text, row 7 a large number, row 8 both.
fn rows() -> String {
    let line = |i: i64| {
        let f = if (7..=8).contains(&i) { 1000.5 } else { i as f64 + 0.25 };
        let t = if i == 3 || i == 8 { "null".to_owned() } else { format!("\"row {i}\"") };
        format!(
            "{{\"id\": {i}, \"f\": {f}, \"t\": {t}, \"b\": true, \"d\": \"2024-01-01\", \"at\": \"2024-01-01T0{i}:00:00Z\"}}\n"
        )
    };
    (0..10).map(line).collect()
}

const CHECKS: &str = "[[check]]\nname = \"small\"\ncolumn = \"f\"\nrange = [0, 100]\non_fail = \"quarantine\"\n\
    [[check]]\ncolumn = \"t\"\nnot_null = true\non_fail = \"quarantine\"\n[quarantine]\nmax_bad = \"50%\"\nredact = [\"t\"]\n";

fn checked(house: &House, checks: &str) {
    house.job("j", "out", "id");
    house.project.edit("jobs/j.toml", "[load]", &format!("{checks}[load]"));
}

fn list(house: &House) -> Vec<(String, u64, String)> {
    let found = house.project.daymill(&["quarantine", "list", "j", "--output", "json"]).expect(0).json();
    let one = |of: &serde_json::Value| {
        let text = |key: &str| of[key].as_str().unwrap().to_owned();
        (text("rule"), of["rows"].as_u64().unwrap(), text("state"))
    };
    found.as_array().unwrap().iter().map(one).collect()
}

fn open(rule: &str, rows: u64) -> (String, u64, String) {
    (rule.to_owned(), rows, "open".to_owned())
}

#[test]
fn rows_are_put_aside_with_the_rows_that_are_published() {
    for house in houses() {
        checked(&house, CHECKS);
        house.day("2024-01-01", &rows());
        // A run that dies before its commit puts nothing aside.
        house.project.failing("before-commit=panic(stopped)", &DAY).expect(70);
        assert_eq!(list(&house), []);
        house.publish();
        let report = house.project.run_json();
        let counts = ["transformed", "published", "quarantined", "left_out", "dropped"]
            .map(|key| report["rows"][key].as_u64().unwrap());
        assert_eq!(counts, [10, 7, 3, 0, 0]);
        assert_eq!(list(&house), [open("small", 2), open("t_not_null", 1)]);
        let shown = house.project.daymill(&["quarantine", "show", "j", "--output", "json"]).expect(0).json();
        let second = &shown[2];
        assert_eq!(second["rules"], serde_json::json!(["small", "t_not_null"]));
        assert_eq!(second["reason"], "f = 1000.5, must be in [0, 100]");
        assert_eq!((second["key"]["id"].as_i64(), second["row"]["f"].as_f64()), (Some(8), Some(1000.5)));
        assert_eq!(second["row"]["at"], "2024-01-01T08:00:00Z");
        // Of a column that is redacted only the hash is kept.
        let hidden = shown[1]["row"]["t"].as_str().unwrap();
        assert!(hidden.starts_with("sha256:") && hidden.len() == 71, "{hidden}");
        assert!(!shown.to_string().contains("row 7"));
        // The same run again changes nothing; a better source takes them back.
        let before = house.publish();
        assert_eq!(list(&house), [open("small", 2), open("t_not_null", 1)]);
        assert_eq!(house.publish(), before);
        house.day("2024-01-01", &rows().replace("\"f\": 1000.5", "\"f\": 10.5"));
        let replayed = house.project.daymill(&["quarantine", "replay", "j", "--rule", "small"]).expect(0);
        replayed.says("2 rows were put aside, and 0 are now");
        assert_eq!(list(&house), [open("t_not_null", 2)]);
        house.verified();
    }
}

#[test]
fn what_was_decided_stays_and_what_was_changed_is_noticed() {
    for house in houses() {
        checked(&house, CHECKS);
        house.day("2024-01-01", &rows());
        house.publish();
        let discard =
            ["quarantine", "discard", "j", "--date", "2024-01-01", "--rule", "small", "--reason", "a test's rows"];
        assert!(house.project.daymill(&discard).expect(0).stdout.contains("2 rows discarded"));
        assert!(house.project.daymill(&discard).expect(0).stdout.contains("no such row is open"));
        let expected = [("small".to_owned(), 2, "discarded".to_owned()), open("t_not_null", 1)];
        assert_eq!(list(&house), expected);
        house.publish();
        assert_eq!(list(&house), expected, "a run of the same rows keeps what was decided");
        let table = if house.database.is_some() { "daymill.quarantine" } else { "daymill_quarantine" };
        house.execute(&format!("UPDATE {table} SET reason = 'none' WHERE n = 0"));
        house.project.daymill(&["ledger", "verify"]).expect(65).says("do not agree on the rows that were put aside");
        house.publish();
        house.execute(&format!("DELETE FROM {table} WHERE n = 1"));
        house.project.daymill(&["ledger", "verify"]).expect(65).says("do not agree on the rows that were put aside");
        house.publish();
        assert!(
            house
                .project
                .daymill(&["quarantine", "prune", "j", "--keep", "100000"])
                .expect(0)
                .stdout
                .contains("no row is that old")
        );
        assert!(house.project.daymill(&["quarantine", "prune", "j"]).expect(0).stdout.contains("3 rows deleted"));
        house.verified();
        house.publish();
        assert_eq!(list(&house).iter().map(|(_, rows, _)| rows).sum::<u64>(), 3);
        house.verified();
    }
}

#[test]
fn too_many_bad_rows_publish_nothing() {
    for house in houses() {
        house.day("2024-01-01", &rows());
        checked(&house, &CHECKS.replace("50%", "20%"));
        let refused = house.project.daymill(&DAY).expect(65);
        refused
            .says("3 of 10 rows would be put aside, and [quarantine] allows max_bad = 20 %")
            .says("small: f = 1000.5");
        assert_eq!(list(&house), []);
        let report = house.project.run_json();
        assert_eq!(report["rejected"].as_array().unwrap().len(), 3);
        checked(&house, &CHECKS.replace("max_bad = \"50%\"", "max_rows = 2\nmax_bad = 3"));
        house.project.daymill(&DAY).expect(65).says("allows max_rows = 2");
        // A rule has a budget of its own.
        checked(&house, &CHECKS.replacen("on_fail = \"quarantine\"", "on_fail = \"quarantine\"\nmax_bad = 1", 1));
        house.project.daymill(&DAY).expect(65).says("f in [0, 100]: 2 of 10 rows, as 1000.5; max_bad allows 1");
        assert_eq!(list(&house), []);
        house.verified();
    }
}
