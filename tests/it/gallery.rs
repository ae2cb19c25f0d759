//! Thirty messages as the person who meets them reads them, one after the other: each says what happened, where, and what to do.
//! Read `snapshots/gallery.snap` whole when one changes.

use crate::support::*;

const DAY: [&str; 4] = ["run", "flight_delay", "--date", "2013-06-08"];
const JOB: &str = "jobs/flight_delay.toml";
const SQL: &str = "sql/flight_delay/features.sql";

/// What differs from run to run.
const VARYING: [(&str, &str); 7] = [
    // Which of the rows is named, depends on which thread was first.
    (r"as 0\.\d+", "as VALUE"),
    (r"20[2-9]\d-\d\d-\d\d(T[\d:]+Z)?", "NOW"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "RUN"),
    (r"/tmp/[.\w]+", "PROJECT"),
    (r"127.0.0.1:\d+/\w+", "SERVER"),
    (r"pid \d+", "pid N"),
    (r"SHA-256 [0-9a-f]{64}", "SHA-256 HASH"),
];

/// The error of a command: what stands on stderr from there on.
fn error(outcome: Outcome, code: i32) -> String {
    let stderr = outcome.expect(code).stderr;
    let at = stderr.find("error:").unwrap_or_else(|| panic!("no error in {stderr}"));
    stderr[at..].trim_end().to_owned()
}

/// A fault of a file: its text is changed, and the day is run.
fn edited(file: &str, from: &str, to: &str, code: i32) -> String {
    let project = Project::flights();
    project.edit(file, from, to);
    error(project.daymill(&DAY), code)
}

fn of_files() -> Vec<(&'static str, String)> {
    let empty = Project::empty();
    let flights = Project::flights();
    let none = |args: &[&str], code| error(flights.daymill(args), code);
    vec![
        ("no project", error(empty.daymill(&["check"]), 78)),
        ("no such job", none(&["run", "flight_dely", "--date", "2013-06-08"], 78)),
        ("no date", none(&["run", "flight_delay", "--date", "2013-06-31"], 2)),
        ("a day that has not ended", none(&["run", "flight_delay", "--date", "today"], 2)),
        ("a misspelt key", edited(JOB, "timezone ", "timezoen ", 78)),
        ("a value of another type", edited(JOB, "\"7d\"", "7", 78)),
        (
            "a key of another kind of table",
            edited(JOB, "[extract.flights]", "[extract.flights]\ndelimiter = \";\"", 78),
        ),
        ("a time zone that is none", edited(JOB, "America/New_York", "America/NewYork", 78)),
        ("a file of SQL that is not there", edited(JOB, "features.sql", "other.sql", 78)),
        (
            "a password in the file",
            edited(
                "daymill.toml",
                "${env:DAYMILL_WAREHOUSE_URL:-postgres://postgres@localhost:5432/warehouse}",
                "postgres://a:hunter2@h/d",
                78,
            ),
        ),
        ("a model without a version", edited(JOB, "flight_delay@champion", "flight_delay", 78)),
        ("an alias that nobody promoted", edited(JOB, "@champion", "@challenger", 66)),
    ]
}

fn of_sql() -> Vec<(&'static str, String)> {
    vec![
        ("a column that is not there", edited(SQL, "f.distance", "f.distanse", 78)),
        ("a function that is not there", edited(SQL, "f.distance", "logg(f.distance)", 78)),
        (
            "a value that cannot be computed",
            edited(SQL, "f.distance", "f.distance / (f.flight - f.flight) AS distance", 65),
        ),
        ("a key that is not selected", edited(JOB, "\"sched_dep_time\"]", "\"gate\"]", 78)),
        (
            "a source without declared columns",
            edited(JOB, "tailnum        = \"text\"", "tail_num = \"text\"\nseets = \"int\"", 65),
        ),
        ("a placeholder that there is not", edited(SQL, "= :date", "= :day", 78)),
    ]
}

fn of_data() -> Vec<(&'static str, String)> {
    let missing = Project::flights();
    let repeated = Project::flights();
    repeated.edit(JOB, "\"flight\", \"origin\", \"sched_dep_time\"]", "\"origin\"]");
    let check = Project::flights();
    check.edit(JOB, "range  = [0.0, 1.0]", "range  = [0.0, 0.5]");
    let empty = Project::flights();
    empty.edit(SQL, "WHERE f.flight_date = :date", "WHERE f.flight_date = :date AND false");
    let unknown = Project::flights();
    unknown.edit(SQL, "f.origin,", "'XXX' AS origin,");
    let rows = Project::flights();
    rows.edit(JOB, "rows = [100, 5000]", "rows = [1000, 5000]");
    vec![
        ("a file that is not there", error(missing.daymill(&["run", "flight_delay", "--date", "2013-05-20"]), 66)),
        ("a key that repeats", error(repeated.daymill(&DAY), 65)),
        ("a value out of range", error(check.daymill(&DAY), 65)),
        ("too few rows", error(rows.daymill(&DAY), 65)),
        ("no rows", error(empty.daymill(&DAY), 65)),
        ("words that a model does not know", error(unknown.daymill(&DAY), 65)),
    ]
}

fn of_models_and_warehouses() -> Vec<(&'static str, String)> {
    let broken = Project::flights();
    broken.own_fixtures();
    broken.write("fixtures/models/flight_delay/3/model.ubj", "not the model");
    let altered = Project::flights();
    altered.daymill(&DAY).expect(0);
    altered.edit(JOB, "keep  = [\"dest\"]", "keep  = [\"dest\", \"distance\"]");
    let owned = Project::flights();
    owned.daymill(&DAY).expect(0);
    owned.edit("jobs/carrier_daily.toml", "table = \"carrier_daily\"", "table = \"flight_delay_scores\"");
    let gone = Project::flights().env("DAYMILL_WAREHOUSE_URL", "postgres://nobody@127.0.0.1:1/none");
    let plan = Project::flights();
    plan.daymill(&DAY).expect(0);
    vec![
        ("a model that was changed", error(broken.daymill(&DAY), 66)),
        ("a table with other columns", error(altered.daymill(&DAY), 78)),
        ("a table of another job", error(owned.daymill(&["run", "carrier_daily", "--date", "2013-06-08"]), 78)),
        ("a server that is not there", error(gone.daymill(&[&DAY[..], &["--target", "prod"]].concat()), 69)),
        (
            "replacing without a word",
            error(
                plan.daymill(&[
                    "backfill",
                    "flight_delay",
                    "--only",
                    "all",
                    "--from",
                    "2013-06-08",
                    "--to",
                    "2013-06-08",
                ]),
                2,
            ),
        ),
    ]
}

fn of_postgres() -> Vec<(&'static str, String)> {
    let database = Database::new().with_flights();
    let project = database.project();
    let file = "sql/flight_delay/flights.sql";
    let good = std::fs::read_to_string(project.path(file)).unwrap();
    let run = |text: String, code| {
        project.write(file, text);
        error(project.daymill(&DAY), code)
    };
    vec![
        ("a column that the server does not have", run(good.replacen("carrier", "carier", 1), 65)),
        ("a word that the server does not understand", run(good.replacen("FROM flights", "FORM flights", 1), 78)),
        (
            "a value that the server cannot compute",
            run(good.replacen("distance", "distance / (flight - flight) AS distance", 1), 65),
        ),
    ]
}

#[test]
fn thirty_messages() {
    let all = [of_files(), of_sql(), of_data(), of_models_and_warehouses(), of_postgres()].concat();
    assert!(all.len() >= 30, "{}", all.len());
    let text: Vec<String> = all.iter().map(|(title, said)| format!("== {title}\n{said}\n")).collect();
    for (title, said) in &all {
        assert!(said.lines().count() <= 14, "{title} is long:\n{said}");
    }
    insta::with_settings!({ filters => VARYING.to_vec(), prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("gallery", text.join("\n"));
    });
}

/// Tables give way and lines are broken, down to a phone's screen.
#[test]
fn what_is_printed_fits_eighty_columns_and_reads_at_forty() {
    let mut project = Project::flights();
    project.edit(
        "jobs/carrier_daily.toml",
        "description = \"",
        "description = \"A long description, longer than any line of a terminal is wide, and then some. ",
    );
    for day in ["2013-06-01", "2013-06-02"] {
        project.daymill(&["run", "flight_delay", "--date", day]).expect(0);
    }
    let mut faults = Vec::new();
    for columns in [80, 40] {
        project = project.env("DAYMILL_COLUMNS", &columns.to_string());
        for (command, also) in [
            (&["run", "flight_delay", "--date", "2013-06-02"][..], "memory"),
            (&["run", "flight_delay", "--date", "2013-06-02", "--dry-run"], "distance"),
            (&["runs"], "flight_delay"),
            (&["jobs"], "carrier_daily"),
            (&["models", "list"], "@3"),
            (&["models", "show", "fixtures/models/flight_delay@3"], "distance"),
            (&["plan", "flight_delay"], "2013-06-03"),
            (&["status", "flight_delay"], "2013-06"),
            (&["show"], "checks"),
        ] {
            let text = project.daymill(command).expect(0).stdout;
            assert!(text.contains(also), "{command:?}: {text}");
            let wide: Vec<&str> =
                text.lines().filter(|line| line.chars().count() > columns && line.trim().contains(' ')).collect();
            if (columns == 80 && !wide.is_empty()) || wide.len() * 2 > text.lines().count() {
                faults.push(format!("{command:?} at {columns}:\n{}\n\n{text}", wide.join("\n")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
