//! Every exit code that a single run can reach, and run.json beside each.

use crate::support::*;

const DAY: [&str; 4] = ["run", "flight_delay", "--date", "2013-06-08"];

/// The code, and the same code in run.json.
#[track_caller]
fn told(project: &Project, outcome: Outcome, code: i32, class: &str) {
    outcome.expect(code);
    let report = project.run_json();
    assert_eq!(
        (report["exit_code"].as_i64(), report["error"]["class"].as_str()),
        (Some(code.into()), Some(class)),
        "{report}"
    );
}

#[test]
fn usage_is_2() {
    let project = Project::flights();
    project.daymill(&["run", "flight_delay"]).expect(2);
    project.daymill(&["run", "flight_delay", "--date", "2013-06-08", "--as-of", "2013-06-08"]).expect(2);
    project.daymill(&["frobnicate"]).expect(2);
    project.daymill(&["run", "flight_delay", "--date", "2026-02-30"]).expect(2);
    project.daymill(&["run", "flight_delay", "--date", "2026-01-01' OR 1=1"]).expect(2);
    project.daymill(&["run", "flight_delay", "--date", "2100-01-01"]).expect(2);
    project.daymill(&["run", "flight_delay", "--start", "2013-06-08", "--end", "2013-06-08"]).expect(2);
    let told = project.daymill(&[&DAY[..], &["--target", "pord", "--output", "json"]].concat()).expect(2).json();
    assert_eq!((&told["exit_code"], &told["error"]["class"]), (&2.into(), &"usage".into()));
    // A mistyped command is no run.
    assert!(!project.path(".daymill/runs").exists());
}

#[test]
fn data_is_65_input_66_and_configuration_78() {
    let project = Project::flights();
    project.edit("jobs/flight_delay.toml", "rows = [100, 5000]", "rows = [100, 200]");
    told(&project, project.daymill(&DAY), 65, "data");
    project.edit("jobs/flight_delay.toml", "2013-06-21", "2013-07-31");
    told(&project, project.daymill(&["run", "flight_delay", "--date", "2013-07-08"]), 66, "input");
    project.write("jobs/flight_delay.toml", "this is = not [ toml");
    told(&project, project.daymill(&DAY), 78, "configuration");
    project.write("daymill.toml", "");
    told(&project, project.daymill(&DAY), 78, "configuration");
    std::fs::remove_file(project.path("daymill.toml")).unwrap();
    project.daymill(&DAY).expect(78).says("daymill init");
}

#[test]
fn a_server_that_is_not_there_is_69_after_retries() {
    let project = Project::flights()
        .env("DAYMILL_OPS_URL", "postgres://127.0.0.1:1/x")
        .env("DAYMILL_WAREHOUSE_URL", "postgres://127.0.0.1:1/x");
    let outcome =
        project.daymill(&[&DAY[..], &["--target", "prod"]].concat()).says("attempt 3 of 4").says("after 4 attempts");
    told(&project, outcome, 69, "unavailable");
}

#[test]
fn a_panic_is_70_and_publishes_nothing() {
    let project = Project::flights();
    told(&project, project.failing("score-batch=panic(a defect for the test)", &DAY), 70, "defect");
    assert!(project.scores().is_empty());
    project.failing("batch-loaded=panic(another)", &DAY).expect(70).says("another");
    assert!(project.scores().is_empty());
    project.daymill(&DAY).expect(0);
}

#[test]
fn a_place_that_cannot_be_written_is_74() {
    let project = Project::flights();
    project.write("a_file", "");
    project.daymill(&["extract", "flight_delay", "--date", "2013-06-08"]).expect(0);
    let outcome =
        project.daymill(&["transform", "flight_delay", "--date", "2013-06-08", "--out", "a_file/features.parquet"]);
    told(&project, outcome, 74, "io");
    let full = project
        .command(&["runs", "--output", "json"])
        .stdout(std::fs::File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    project.daymill(&DAY).expect(0);
    assert_eq!(outcome_code(&full), 74);
}

fn outcome_code(output: &std::process::Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let project = Project::flights();
    let mut command = project.command(&["completions", "bash"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_held_interval_is_75_and_names_the_holder() {
    let database = Database::new().with_flights();
    for project in [Project::flights(), database.project()] {
        let holder = project.start("after-lock=sleep(6000)", &DAY);
        until("the lock", || project.daymill(&["runs"]).stdout.contains("running"));
        let started = std::time::Instant::now();
        let second = project.daymill(&DAY);
        assert!(started.elapsed().as_secs_f64() < 2.0);
        let second = second.says(&holder.id().to_string());
        told(&project, second, 75, "locked");
        // Another interval is free.
        project.daymill(&["run", "flight_delay", "--date", "2013-06-09"]).expect(0);
        finish(holder).expect(0);
    }
}

#[test]
fn an_overtaken_run_is_76() {
    let database = Database::new().with_flights();
    let project = database.project();
    let run = project.start("after-lock=sleep(2500)", &DAY);
    until("the start", || project.daymill(&["runs"]).stdout.contains("running"));
    database.execute("UPDATE daymill.intervals SET generation = generation + 1");
    told(&project, finish(run), 76, "fenced");
    assert!(database.scores().is_empty());
    let local = Project::flights();
    let run = local.start("after-lock=sleep(2500)", &DAY);
    until("the start", || local.daymill(&["runs"]).stdout.contains("running"));
    overtake(&local);
    told(&local, finish(run), 76, "fenced");
    assert!(local.scores().is_empty());
    // Overtaken by a run, whose lock somebody took away: it tells its end last, and the ledger is whole.
    let local = Project::flights();
    let run = local.start("after-lock=sleep(9000)", &DAY);
    until("the start", || local.daymill(&["runs"]).stdout.contains("running"));
    std::fs::remove_dir_all(format!("{}.locks", local.warehouse().display())).unwrap();
    local.daymill(&DAY).expect(0);
    told(&local, finish(run), 76, "fenced");
    local.daymill(&["ledger", "verify"]).expect(0);
}

fn overtake(project: &Project) {
    use sqlx::Connection;
    block_on(async {
        let url = format!("sqlite://{}", project.warehouse().display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("UPDATE daymill_intervals SET generation = generation + 1")
            .execute(&mut connection)
            .await
            .unwrap();
    });
}

#[test]
fn a_commit_in_doubt_is_settled_from_the_ledger_or_is_77() {
    let database = Database::new().with_flights();
    let project = database.project();
    told(&project, project.failing("commit-answer-lost=return;settle=return", &DAY), 77, "in_doubt");
    let rows = database.scores();
    assert_eq!(rows.len(), 779, "the commit had happened");
    project.failing("commit-answer-lost=return", &DAY).expect(0);
    assert_eq!(database.scores(), rows);
}

#[test]
fn signals_are_130_and_143_and_leave_what_was_there() {
    let project = Project::flights();
    project.daymill(&DAY).expect(0);
    let before = project.scores();
    project.edit("jobs/flight_delay.toml", "schedule ", "batch_rows = 50\nschedule ");
    for (name, code, class) in [("TERM", 143, "terminated"), ("INT", 130, "interrupted")] {
        let child = project.start("score-batch=sleep(400)", &[&DAY[..], &["--threads", "1"]].concat());
        until("the start", || project.daymill(&["runs", "-n", "1"]).stdout.contains("running"));
        std::thread::sleep(std::time::Duration::from_millis(500));
        signal(&child, name);
        let started = std::time::Instant::now();
        told(&project, finish(child), code, class);
        assert!(started.elapsed().as_secs() < 10);
        assert_eq!(project.scores(), before);
        assert!(project.daymill(&["runs", "-n", "1"]).stdout.contains("interrupted"));
    }
    // A second signal ends it at once.
    let child = project.start("score-batch=sleep(30000)", &DAY);
    until("the start", || project.daymill(&["runs", "-n", "1"]).stdout.contains("running"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    signal(&child, "INT");
    std::thread::sleep(std::time::Duration::from_millis(200));
    signal(&child, "INT");
    let started = std::time::Instant::now();
    finish(child).expect(130);
    assert!(started.elapsed().as_secs() < 2);
}

#[test]
fn a_signal_does_not_wait_for_the_engine() {
    let project = Project::flights();
    let forever = "SELECT a.origin AS carrier, COUNT(*) AS flights FROM flights a CROSS JOIN flights b CROSS JOIN flights c CROSS JOIN flights d GROUP BY a.origin";
    project.write("sql/carrier_daily/summary.sql", forever);
    project.edit("jobs/carrier_daily.toml", "key         = [\"flight_date\", \"carrier\"]", "key = [\"carrier\"]");
    project.edit("jobs/carrier_daily.toml", "column = \"share_late\"", "column = \"flights\"");
    project.edit("jobs/carrier_daily.toml", "carrier     = \"text\"", "carrier = \"text\"\norigin = \"text\"");
    let child = project.start("", &["run", "carrier_daily", "--date", "2013-06-08"]);
    until("the start", || project.daymill(&["runs"]).stdout.contains("running"));
    std::thread::sleep(std::time::Duration::from_millis(500));
    signal(&child, "TERM");
    let started = std::time::Instant::now();
    told(&project, finish(child), 143, "terminated");
    assert!(started.elapsed().as_secs() < 10);
}

#[test]
fn an_empty_day_is_what_the_job_says() {
    let project = Project::flights();
    project.daymill(&DAY).expect(0);
    let before = project.scores().len();
    project.edit(
        "sql/flight_delay/features.sql",
        "WHERE f.flight_date = :date",
        "WHERE f.flight_date = :date AND f.flight < 0",
    );
    project.edit("jobs/flight_delay.toml", "rows = [100, 5000]", "rows = [0, 5000]");
    told(&project, project.daymill(&DAY), 65, "data");
    project.edit("jobs/flight_delay.toml", "schedule ", "on_empty = \"skip\"\nschedule ");
    project.daymill(&DAY).expect(0).says("untouched");
    assert!(project.daymill(&["runs", "-n", "1"]).stdout.contains("skipped"));
    project.daymill(&[&DAY[..], &["--skip-exit-code", "99"]].concat()).expect(99);
    assert_eq!(project.scores().len(), before);
    project.edit("jobs/flight_delay.toml", "\"skip\"", "\"replace\"");
    project.daymill(&DAY).expect(0);
    assert_eq!(project.scores().len(), 0);
}
