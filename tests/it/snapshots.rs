//! What the program prints, whole: help, summaries, plans, messages, and the form of run.json. A change shows as a difference.
//! `INSTA_UPDATE=always make test` takes what is printed now; read the difference before you commit it.

use daymill::pipeline::report::RunReport;

use crate::support::*;

/// Numbers and names that differ from run to run.
const VARYING: [(&str, &str); 9] = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "RUN"),
    (r"\d+:[0-9a-f]{64}", "HEAD"),
    (r"20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?", "NOW"),
    (r"\b\d+(\.\d+)? (ms|s|min)\b", "TIME"),
    (r"peak memory \d+ MB", "peak memory N MB"),
    (r"/tmp/[.\w]+", "PROJECT"),
    (r"pid \d+", "pid N"),
    (r"by         \S+,", "by         HOST,"),
    (r"content    [0-9a-f]{64}", "content    HASH"),
];

macro_rules! shows {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ filters => VARYING.to_vec(), prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        })
    };
}

#[test]
fn the_help_of_every_command() {
    let project = Project::empty();
    let help = |command: &[&str]| {
        let mut run = project.command(&[command, &["--help"]].concat());
        outcome(run.env("COLUMNS", "100").output().unwrap()).expect(0).stdout
    };
    shows!("help", help(&[]));
    let commands = [
        "init",
        "jobs",
        "new",
        "run",
        "backfill",
        "plan",
        "apply",
        "retry",
        "status",
        "check",
        "profile",
        "drift",
        "quarantine",
        "report",
        "test",
        "extract",
        "transform",
        "score",
        "load",
        "runs",
        "show",
        "models",
        "ledger",
        "schema",
        "completions",
    ];
    for command in commands {
        shows!(format!("help_{command}"), help(&[command]));
    }
    // None was forgotten.
    let listed = help(&[]);
    let named: Vec<&str> =
        listed.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty()).collect();
    let words: Vec<&str> = named.iter().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    let forgotten = words.iter().filter(|word| !word.is_empty() && **word != "help" && !commands.contains(word));
    assert_eq!(forgotten.count(), 0, "{words:?}");
}

#[test]
fn a_day_from_check_to_show() {
    let project = Project::flights();
    let day = ["--date", "2013-06-01"];
    shows!("check", project.daymill(&["check", "--offline"]).expect(0).stdout);
    shows!("run", project.daymill(&[&["run", "flight_delay"][..], &day].concat()).expect(0).stdout);
    shows!("run_etl", project.daymill(&[&["run", "carrier_daily"][..], &day].concat()).expect(0).stdout);
    shows!("show", project.daymill(&["show", "latest"]).expect(0).stdout);
    shows!("runs", project.daymill(&["runs"]).expect(0).stdout);
    let range = ["--from", "2013-06-01", "--to", "2013-06-05"];
    shows!("plan", project.daymill(&[&["plan", "carrier_daily"][..], &range].concat()).expect(0).stdout);
    shows!("status", project.daymill(&[&["status", "carrier_daily"][..], &range].concat()).expect(0).stdout);
    shows!("backfill", project.daymill(&[&["backfill", "carrier_daily"][..], &range].concat()).expect(0).stdout);
    shows!("verify", project.daymill(&["ledger", "verify", "--rows", "carrier_daily"]).expect(0).stdout);
}

#[test]
fn messages_say_what_where_and_what_to_do() {
    let project = Project::flights();
    let run = |date: &str| project.daymill(&["run", "carrier_daily", "--date", date]).stderr;
    shows!("a_missing_file", run("2001-01-01"));
    project.write("sql/carrier_daily/summary.sql", "SELECT carier FROM flights");
    shows!("a_misspelt_column", run("2013-06-01"));
    project.edit("jobs/carrier_daily.toml", "timezone", "timezon");
    shows!("a_misspelt_key", run("2013-06-01"));
    shows!("no_such_job", project.daymill(&["run", "carier_daily", "--date", "2013-06-01"]).stderr);
}

#[test]
fn run_json_reads_back_and_has_a_schema() {
    let project = Project::flights();
    for (job, code) in [("flight_delay", 0), ("carrier_daily", 0), ("no_such", 78)] {
        project.daymill(&["run", job, "--date", "2013-06-01"]).expect(code);
        let written = std::fs::read_to_string(project.path(".daymill/runs/latest.json")).unwrap();
        let report = RunReport::read(&written).unwrap();
        assert_eq!(report.value(), serde_json::from_str::<serde_json::Value>(&written).unwrap(), "{job}");
    }
    // What an earlier version wrote has less.
    let early = r#"{"schema_version": 1, "daymill_version": "0.0.9", "run_id": "x", "command": "run", "state": "failed", "exit_code": 65,
        "started_at": "", "finished_at": null, "seconds": 1.5, "stages": [], "scores": [], "checks": [], "inputs": [], "warnings": [],
        "rows": {"extracted": 1, "outside": 0, "transformed": 0, "dropped": 0, "imputed": 0, "published": 0}, "peak_memory_mb": 9, "new": 1}"#;
    assert_eq!(RunReport::read(early).unwrap().seconds, 1.5);
    let schema = serde_json::to_string_pretty(&RunReport::schema()).unwrap() + "\n";
    let file = repository().join("docs/run.schema.json");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&file, &schema).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), schema, "docs/run.schema.json is not that of this version");
}
