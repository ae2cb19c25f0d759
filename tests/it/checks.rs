//! The rules of checks: what each takes for broken, what becomes of the rows, and what is wrong in a job file.

use crate::support::*;

const RUN: [&str; 4] = ["run", "j", "--date", "2024-01-01"];

fn project(checks: &str) -> Project {
    let project = Project::empty();
    project.write("daymill.toml", "[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n");
    project.write("sql/j.sql", "SELECT id, amount, kind, at FROM rows");
    project.write(
        "jobs/j.toml",
        format!(
            "timezone = \"UTC\"\nkey = [\"id\"]\n[extract.rows]\njsonl = \"in/{{date}}.jsonl\"\n[extract.rows.columns]\nid = \"int\"\n\
             amount = \"float\"\nkind = \"text\"\nat = \"timestamp\"\n[transform]\nsql = \"sql/j.sql\"\n[load]\ntable = \"out\"\n\
             [quarantine]\nmax_bad = \"100%\"\n{checks}"
        ),
    );
    let line = |i: u32| {
        let amount = if i == 2 { "null".into() } else { format!("{i}.5") };
        let kind = if i == 5 { "null".into() } else { format!("\"k{}\"", i % 3) };
        format!("{{\"id\": {i}, \"amount\": {amount}, \"kind\": {kind}, \"at\": \"2024-01-01T0{i}:30:00Z\"}}\n")
    };
    project.write("in/2024-01-01.jsonl", (0..8).map(line).collect::<String>());
    project
}

fn check(rule: &str) -> String {
    format!("[[check]]\n{rule}\n")
}

/// Runs with one check, which must fail and say so, or pass.
#[track_caller]
fn fails(rule: &str, says: &str) {
    project(&check(rule)).daymill(&RUN).expect(65).says(says);
}

#[track_caller]
fn passes(rule: &str) {
    project(&check(rule)).daymill(&RUN).expect(0);
}

#[test]
fn each_rule_finds_what_breaks_it() {
    fails("column = \"kind\"\nmatch = \"^k[01]$\"", "kind matches ^k[01]$: 1 of 8 rows, as k2");
    passes("column = \"kind\"\nmatch = \"k[012]\"");
    // NULL breaks a condition no more than it holds.
    fails("sql = \"amount < 7 AND id >= 0\"", "amount < 7 AND id >= 0: 1 of 8 rows");
    passes("sql = \"amount < 100 -- a comment\"");
    passes("sql = \"amount IS NULL OR amount >= 0\"");
    // A condition is no column of the rows.
    let project = project(&check("sql = \"id >= 0\""));
    project.daymill(&RUN).expect(0);
    let columns = rows_of(&project.path("w.sqlite"), "SELECT name FROM pragma_table_info('out') ORDER BY cid");
    assert_eq!(
        columns,
        ["id", "amount", "kind", "at", "interval_start", "interval_date", "model", "model_version", "run_id"]
    );
    let profiled = rows_of(&project.path("w.sqlite"), "SELECT column_name FROM daymill_profiles ORDER BY 1");
    assert_eq!(profiled, ["amount", "at", "kind"]);
    fails("column = \"kind\"\nunique = true", "kind is unique: 4 of 8 rows");
    passes("column = \"amount\"\nunique = true");
    passes("column = \"kind\"\nunique = true\nmax_bad = 4");
    fails("column = \"at\"\nfreshness = \"16h\"", "the newest is 2024-01-01T07:30:00Z");
    passes("column = \"at\"\nfreshness = \"17h\"");
    fails("column = \"amount\"\nsum = [0, 29]", "the sum is 29.5");
    passes("column = \"amount\"\nsum = [0, 29.5]");
    fails("column = \"amount\"\nnot_null = true", "1 of 8 rows are null");
    passes("column = \"amount\"\nnot_null = true\nmax_bad = \"12.5%\"");
    fails("column = \"amount\"\nnot_null = true\nmax_bad = \"12.4%\"", "max_bad allows 12.4 %");
    fails("column = \"amount\"\nnot_null = true\nmax_bad = 0", "max_bad allows 0");
    fails("column = \"kind\"\nvalues = [\"k0\", \"k1\"]", "1 of 8 rows, as k2");
    fails("rows = [0, 7]", "8 rows");
}

#[test]
fn rows_are_left_out_and_seen_by_no_other_rule() {
    let drop = "column = \"amount\"\nrange = [0, 6]\non_fail = \"drop\"";
    let project =
        project(&[check(drop), check("column = \"amount\"\nsum = [0, 15.5]"), check("rows = [6, 6]")].concat());
    project.daymill(&RUN).expect(0).says("6 rows");
    let report = project.run_json();
    assert_eq!((report["rows"]["left_out"].as_u64(), report["rows"]["published"].as_u64()), (Some(2), Some(6)));
    assert_eq!(report["checks"][0]["bad"], 2);
    let list = project.daymill(&["quarantine", "list"]).expect(0).stdout;
    assert!(list.contains("no row is put aside"), "{list}");
    // A row that one rule leaves out and another puts aside is put aside.
    let both = [check(drop), check("name = \"even\"\nsql = \"id % 2 = 0\"\non_fail = \"quarantine\"")].concat();
    let project = self::project(&both);
    project.daymill(&RUN).expect(0);
    let report = project.run_json();
    assert_eq!((report["rows"]["left_out"].as_u64(), report["rows"]["quarantined"].as_u64()), (Some(1), Some(4)));
    // A dry run says so and puts nothing aside.
    let project = self::project(&both);
    project.daymill(&["run", "j", "--date", "2024-01-01", "--dry-run"]).expect(0);
    let list = project.daymill(&["quarantine", "list"]).expect(0).stdout;
    assert!(list.contains("no row is put aside"), "{list}");
}

#[test]
fn a_score_can_break_a_rule_too() {
    let project = Project::flights();
    let more = "[[check]]\ncolumn = \"p_late\"\nrange = [0.0, 0.6]\non_fail = \"quarantine\"\n\
        [[check]]\nname = \"near\"\ncolumn = \"distance\"\nrange = [150, 9000]\non_fail = \"quarantine\"\n[quarantine]\nmax_bad = \"10%\"\n";
    let job = std::fs::read_to_string(project.path("jobs/flight_delay.toml")).unwrap();
    project.write("jobs/flight_delay.toml", format!("{job}\n{more}"));
    project.daymill(&["check", "flight_delay", "--offline"]).expect(0);
    let said = project.daymill(&["run", "flight_delay", "--date", "2013-06-08"]).expect(0).stdout;
    assert!(
        said.contains("aside") && said.contains("daymill quarantine show flight_delay --date 2013-06-08"),
        "{said}"
    );
    let shown = project.daymill(&["quarantine", "show", "flight_delay", "--output", "json"]).expect(0).json();
    let of =
        |rule: &str| shown.as_array().unwrap().iter().filter(|row| row["rule"] == rule).cloned().collect::<Vec<_>>();
    let (scores, near) = (of("p_late_range_2"), of("near"));
    assert_eq!((scores[0]["stage"].as_str(), near[0]["stage"].as_str()), (Some("score"), Some("transform")));
    assert!(scores.iter().all(|row| row["row"]["p_late"].as_f64().unwrap() > 0.6));
    assert!(near.iter().all(|row| row["row"].get("p_late").is_none()), "a row that is put aside is never scored");
    let left = project.sqlite("SELECT CAST(count(*) AS TEXT) FROM flight_delay_scores WHERE p_late > 0.6");
    assert_eq!(left, ["0"]);
    project.daymill(&["ledger", "verify", "--rows", "flight_delay"]).expect(0);
    // As a file, with every column that is known.
    project.daymill(&["quarantine", "show", "flight_delay", "-o", "bad.csv"]).expect(0);
    let csv = std::fs::read_to_string(project.path("bad.csv")).unwrap();
    assert!(
        csv.starts_with("_interval,_rule,_reason,_state,flight_date,")
            && csv.lines().count() == 1 + shown.as_array().unwrap().len()
    );
    // The stages have no place for rows that are put aside before they are scored.
    project.daymill(&["extract", "flight_delay", "--date", "2013-06-07"]).expect(0);
    project.daymill(&["transform", "flight_delay", "--date", "2013-06-07"]).expect(0);
    project.daymill(&["score", "flight_delay", "--date", "2013-06-07"]).expect(0);
    project.daymill(&["load", "flight_delay", "--date", "2013-06-07"]).expect(78).says("\"distance\"");
}

#[test]
fn a_check_that_cannot_be_asked_is_told_by_its_line() {
    let refused = |rule: &str, says: &str| {
        project(&check(rule)).daymill(&RUN).expect(78).says(says);
    };
    refused("column = \"amounts\"\nnot_null = true", "the check is of column \"amounts\"");
    refused("column = \"kind\"\nrange = [0, 1]", "the check needs numbers");
    refused("column = \"amount\"\nfreshness = \"1h\"", "the check needs times");
    refused("column = \"kind\"\nmatch = \"(\"", "is no regular expression");
    refused("column = \"at\"\nfreshness = \"soon\"", "freshness = \"soon\" is no time");
    refused("column = \"amount\"\nmean = [0, 1]\non_fail = \"drop\"", "no row breaks mean by itself");
    refused("column = \"amount\"\nmean = [0, 1]\nmax_bad = 3", "max_bad counts rows");
    refused("column = \"amount\"\nnot_null = true\nmax_bad = \"3\"", "max_bad = \"3\" is neither");
    refused("column = \"amount\"\nnot_null = true\nmax_bad = \"101%\"", "is neither");
    refused("column = \"amount\"\nnot_null = true\non_fail = \"warn\"\nseverity = \"error\"", "not both");
    refused("sql = \"amount +\"", "jobs/j.toml:16: the condition \"amount +\"");
    refused("sql = \"amount + 1\"", "not true or false");
    refused("sql = \"amounts > 1\"", "there is no column amounts");
    refused("sql = \"count(*) > 1\"", "GROUP BY");
    refused("sql = \"row_number() OVER (ORDER BY id) = 1\"", "it has a window");
    refused("sql = \"id IN (SELECT min(id) FROM rows)\"", "it has a query of its own");
    refused("sql = \"true) AS a, (true\"", "it is more than one condition");
    refused("sql = \"amount > (SELECT 1\"", "it has a query of its own");
    refused("column = \"amount\"\nsql = \"true\"", "a [[check]] has one rule");
    let twice = [check("name = \"a\"\nrows = [0, 9]"), check("name = \"a\"\nsql = \"true\"")].concat();
    project(&twice).daymill(&RUN).expect(78).says("another check has the name \"a\"");
    // Names that nobody chose are told apart.
    let alike = [check("sql = \"true\""), check("sql = \"id >= 0\"")].concat();
    let project = project(&alike);
    project.daymill(&RUN).expect(0);
    let names: Vec<_> = project.run_json()["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["sql", "sql_2"]);
}

#[test]
fn nothing_of_a_hidden_column_is_told() {
    let rule = "column = \"kind\"\nmatch = \"^k[01]$\"\non_fail = \"quarantine\"\n[[check]]\ncolumn = \"kind\"\nvalues = [\"k0\"]\nseverity = \"warn\"";
    let project = project(&check(rule));
    project.edit("jobs/j.toml", "max_bad = \"100%\"", "max_bad = \"100%\"\nredact = [\"kind\"]");
    let said = project.daymill(&RUN).expect(0);
    let database = std::fs::read(project.path("w.sqlite")).unwrap();
    let whole = format!("{}{}{}", said.stdout, said.stderr, project.run_json());
    // k2 was put aside and k1 warned about; the published table has k1, and nothing else of k2 is anywhere.
    assert!(!whole.contains("k2") && !whole.contains("as k1"), "{whole}");
    let words = rows_of(
        &project.path("w.sqlite"),
        "SELECT coalesce(distribution, 'none') FROM daymill_profiles WHERE column_name = 'kind'",
    );
    assert_eq!(words, ["none"]);
    assert!(!String::from_utf8_lossy(&database).contains("\"k2\""));
    // A name that is wrong would hide nothing.
    project.edit("jobs/j.toml", "redact = [\"kind\"]", "redact = [\"kinds\"]");
    project.daymill(&RUN).expect(78).says("quarantine.redact names \"kinds\"").says("did you mean");
}

#[test]
fn a_day_of_which_no_row_is_left_is_no_empty_day() {
    let all = check("sql = \"id < 0\"\non_fail = \"quarantine\"");
    for on_empty in ["error", "skip"] {
        let project = project(&all);
        project.edit("jobs/j.toml", "timezone", &format!("on_empty = \"{on_empty}\"\ntimezone"));
        project.daymill(&RUN).expect(65).says("all 8 rows were put aside, left out or dropped");
        assert_eq!(project.run_json()["rejected"].as_array().unwrap().len(), 8);
    }
    let project = project(&all);
    project.edit("jobs/j.toml", "timezone", "on_empty = \"replace\"\ntimezone");
    project.daymill(&RUN).expect(0);
    let list = project.daymill(&["quarantine", "list", "--output", "json"]).expect(0).json();
    assert_eq!(list[0]["rows"], 8);
    project.daymill(&["quarantine", "prune", "j", "--keep", "4294967295"]).expect(0);
    // What a rule leaves out has a limit too.
    let most = check("sql = \"id < 3\"\non_fail = \"drop\"");
    let project = self::project(&most);
    project.edit("jobs/j.toml", "max_bad = \"100%\"", "max_bad = \"50%\"");
    project.daymill(&RUN).expect(65).says("id < 3: 5 of 8 rows; max_bad allows 50 %");
    project.edit("jobs/j.toml", "on_fail = \"drop\"", "on_fail = \"drop\"\nmax_bad = \"70%\"");
    project.daymill(&RUN).expect(0);
}

#[test]
fn threads_and_batches_make_no_difference() {
    let mut found = Vec::new();
    for (threads, batch) in [("1", "7"), ("4", "7"), ("4", "1000"), ("2", "1")] {
        let project = Project::flights();
        let job = std::fs::read_to_string(project.path("jobs/flight_delay.toml")).unwrap();
        let more = "[[check]]\ncolumn = \"distance\"\nrange = [300, 9000]\non_fail = \"quarantine\"\n[quarantine]\nmax_bad = \"50%\"\n";
        project.write("jobs/flight_delay.toml", format!("batch_rows = {batch}\n{job}\n{more}"));
        project.daymill(&["run", "flight_delay", "--date", "2013-06-08", "--threads", threads]).expect(0);
        let rows = "SELECT CAST(n AS TEXT), rule, reason, row_values FROM daymill_quarantine ORDER BY n";
        let profiles = "SELECT column_name, CAST(n AS TEXT), CAST(nulls AS TEXT), CAST(q50 AS TEXT), distribution FROM daymill_profiles ORDER BY 1";
        found.push((project.sqlite(rows), project.sqlite(profiles)));
        assert!(found[0].0.len() > 50);
        assert_eq!(found.last(), found.first(), "{threads} {batch}");
    }
}

#[test]
fn rules_are_proposed_that_were_kept() {
    let project = Project::flights();
    for day in ["2013-06-06", "2013-06-07"] {
        project.daymill(&["run", "flight_delay", "--date", day]).expect(0);
    }
    let proposed = project.daymill(&["check", "flight_delay", "--propose"]).expect(0).stdout;
    for says in [
        "# What 2013-06-06 to 2013-06-07 kept.",
        "column = \"origin\"\nvalues = [\"EWR\", \"JFK\", \"LGA\"]",
        "column = \"distance\"\nnot_null = true\n",
        "column = \"wind_gust\"\nnot_null = true\nmax_bad = ",
        "column = \"p_late\"\nrange = [0.0, ",
    ] {
        assert!(proposed.contains(says), "{says}: {proposed}");
    }
    assert!(!proposed.contains("column = \"dest\"\nvalues"), "a long vocabulary is not closed");
    // They can be taken as they are, and those days keep them.
    let job = std::fs::read_to_string(project.path("jobs/flight_delay.toml")).unwrap();
    project.write("jobs/flight_delay.toml", format!("{job}\n{proposed}"));
    project.daymill(&["check", "flight_delay", "--offline"]).expect(0);
    project.daymill(&["run", "flight_delay", "--date", "2013-06-07"]).expect(0);
    project.daymill(&["check", "carrier_daily", "--propose"]).expect(2).says("has profiles");
    project.daymill(&["check", "--propose"]).expect(2);
}

#[test]
fn a_rule_that_takes_rows_away_makes_what_was_published_stale() {
    let rule = "column = \"amount\"\nrange = [0, 6]\non_fail = \"quarantine\"";
    let project = project(&[check(rule), check("rows = [1, 9]")].concat());
    project.edit("jobs/j.toml", "timezone", "starts = \"2024-01-01\"\nends = \"2024-01-01\"\ntimezone");
    project.daymill(&RUN).expect(0);
    let standing = || {
        let status = project.daymill(&["status", "j", "--output", "json"]).expect(0).json();
        status["intervals"][0]["standing"].as_str().unwrap().to_owned()
    };
    assert_eq!(standing(), "done");
    // A rule that only asks changes no row.
    project.edit("jobs/j.toml", "rows = [1, 9]", "rows = [1, 8]");
    assert_eq!(standing(), "done");
    project.edit("jobs/j.toml", "range = [0, 6]", "range = [0, 3]");
    assert_eq!(standing(), "stale");
}
