//! Many nights of the real job: backfills, the model of each day, what the calendar says.

use crate::support::*;

#[test]
fn a_year_of_fixture_days_is_the_same_for_any_number_of_workers() {
    let mut first: Option<serde_json::Value> = None;
    for jobs in ["1", "2", "4"] {
        let project = Project::flights();
        let told = project.daymill(&["backfill", "flight_delay", "--jobs", jobs, "--output", "json"]).expect(0).json();
        let intervals = told["intervals"].as_array().unwrap();
        assert_eq!(intervals.len(), 21);
        let hashes: serde_json::Value = intervals.iter().map(|i| i["content_hash"].clone()).collect();
        assert_eq!(*first.get_or_insert_with(|| hashes.clone()), hashes);
        project.daymill(&["ledger", "verify", "--rows", "flight_delay"]).expect(0);
        if jobs == "1" {
            // A day of a backfill and a day on its own are the same.
            let run =
                project.daymill(&["run", "flight_delay", "--date", "2013-06-20", "--output", "json"]).expect(0).json();
            assert_eq!(run["content_hash"], intervals[19]["content_hash"]);
        }
    }
}

#[test]
fn each_day_can_be_scored_by_the_model_that_was_champion_then() {
    let project = Project::flights();
    project.edit("jobs/flight_delay.toml", "outputs = [\"p_late\"]", "outputs = [\"p_late\"]\nmax_bad_fraction = 1.0");
    let range = ["--from", "2013-06-06", "--to", "2013-06-16"];
    let arguments = [&["backfill", "flight_delay", "--model", "as-of", "--output", "json"][..], &range].concat();
    let told = project.daymill(&arguments).expect(0).json();
    let models: Vec<_> =
        told["intervals"].as_array().unwrap().iter().map(|i| i["model"].as_str().unwrap().to_owned()).collect();
    // A day ends at 04:00 UTC of the next; version 2 was promoted on June 8, version 3 on June 15.
    let expected =
        ["flight_delay@1"].into_iter().chain(["flight_delay@2"].repeat(7)).chain(["flight_delay@3"].repeat(3));
    assert_eq!(models, expected.collect::<Vec<_>>());
    // Judged by today's champion the older days are stale; judged by their own they are not.
    let actions = |model: &[&str]| {
        let plan = project
            .daymill(&[&["plan", "flight_delay", "--only", "stale", "--output", "json"], &range[..], model].concat())
            .expect(0)
            .json();
        plan["intervals"].as_array().unwrap().iter().filter(|i| i["action"] == "replace").count()
    };
    assert_eq!(actions(&["--model", "as-of"]), 0);
    assert_eq!(actions(&[]), 8);
    let plan = project
        .daymill(&["plan", "flight_delay", "--only", "stale", "--from", "2013-06-06", "--to", "2013-06-06"])
        .expect(0);
    assert!(plan.stdout.contains("model changed: flight_delay@1 to flight_delay@3"), "{}", plan.stdout);
    // Before the first promotion there was no champion.
    let early = ["backfill", "flight_delay", "--model", "as-of", "--from", "2013-05-30", "--to", "2013-05-30"];
    project.daymill(&early).expect(3).says("2013-05-30");
}

#[test]
fn a_promotion_is_appended_and_changes_what_the_alias_means() {
    let project = Project::flights();
    project.own_fixtures();
    let model = "fixtures/models/flight_delay";
    project.daymill(&["models", "promote", &format!("{model}@9")]).expect(66);
    project.daymill(&["models", "promote", model]).expect(2);
    project
        .daymill(&["models", "promote", &format!("{model}@1"), "--at", "2013-06-10T00:00:00Z"])
        .expect(2)
        .says("only appended to");
    let before = std::fs::read_to_string(project.path(&format!("{model}/promotions.toml"))).unwrap();
    project.daymill(&["models", "promote", &format!("{model}@2"), "--note", "back to \"two\""]).expect(0);
    let after = std::fs::read_to_string(project.path(&format!("{model}/promotions.toml"))).unwrap();
    assert!(after.starts_with(&before));
    let run = project.daymill(&["run", "flight_delay", "--date", "2013-06-08", "--output", "json"]);
    assert!([0, 65].contains(&run.code));
    assert_eq!(project.run_json()["model"]["version"], 2);
}

#[test]
fn the_calendar_shows_gaps_first() {
    let project = Project::flights();
    let empty = project.daymill(&["status", "carrier_daily"]).expect(0).stdout;
    assert!(empty.contains("gap 2013-06-01 to 2013-06-21  21 not published"), "{empty}");
    project.daymill(&["backfill", "carrier_daily", "--from", "2013-06-03", "--to", "2013-06-05"]).expect(0);
    project.edit("jobs/carrier_daily.toml", "range  = [0.0, 1.0]", "range  = [5.0, 6.0]");
    project.daymill(&["run", "carrier_daily", "--date", "2013-06-07"]).expect(65);
    let page = project.daymill(&["status", "carrier_daily"]).expect(0).stdout;
    let lines: Vec<&str> = page.lines().collect();
    assert_eq!(lines[0], "carrier_daily in dev, 2013-06-01 to 2013-06-21 (America/New_York)");
    assert_eq!(lines[1], "  gap 2013-06-01 to 2013-06-02  2 not published");
    assert_eq!(lines[2], "  gap 2013-06-06 to 2013-06-21  16 not published");
    assert_eq!(lines[4], "  2013-06  · · ■ ■ ■ · ✗ · · · · · · · · · · · · · ·");
    assert!(page.contains("✗ 1 failed   · 17 missing   ■ 3 done"), "{page}");
    assert!(page.contains("2013-06-07  failed: "), "{page}");
    // A failed attempt over rows that stand is both.
    project.daymill(&["run", "carrier_daily", "--date", "2013-06-04"]).expect(65);
    let page = project.daymill(&["status", "carrier_daily"]).expect(0).stdout;
    assert!(page.contains("✘ 1 failed, older rows stand"), "{page}");
    assert!(page.contains("(the rows of an earlier run stand)"), "{page}");
    project.edit("jobs/carrier_daily.toml", "range  = [5.0, 6.0]", "range  = [0.0, 1.0]");
    project.daymill(&["run", "carrier_daily", "--date", "2013-06-04"]).expect(0);
    let json = project.daymill(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(json[0]["counts"], serde_json::json!({"done": 3, "failed": 1, "missing": 17}));
    assert_eq!(json[0]["gaps"][0], serde_json::json!(["2013-06-01", "2013-06-02"]));
}

#[test]
fn a_ledger_of_the_first_version_is_brought_up_to_date() {
    let project = Project::flights();
    let file = project.warehouse();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let old = include_str!("../../sql/ledger/0001.sql");
    let old = ["migrations", "intervals", "runs", "tables"]
        .iter()
        .fold(old.to_owned(), |sql, name| sql.replace(&format!("{{{name}}}"), &format!("daymill_{name}")));
    let script = old.replace("{runs_index}", "daymill_runs_interval")
        + "INSERT INTO daymill_migrations VALUES (1, '2026-01-01T00:00:00Z');
           INSERT INTO daymill_intervals VALUES ('flight_delay', '2013-06-07T04:00:00Z', '2013-06-08T04:00:00Z', '2013-06-07', 1, 'r-1', 5, 'abc', '2026-01-01T00:00:00Z');
           INSERT INTO daymill_runs (run_id, job, interval_start, interval_end, label, generation, state, host, pid, started_at, rows_published, content_hash)
           VALUES ('r-1', 'flight_delay', '2013-06-07T04:00:00Z', '2013-06-08T04:00:00Z', '2013-06-07', 1, 'succeeded', 'h', 1, '2026-01-01T00:00:00Z', 5, 'abc');";
    block_on(async {
        use sqlx::Connection;
        let url = format!("sqlite://{}?mode=rwc", file.display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
    project.daymill(&["status"]).expect(78).says("any run of a job brings it up to date");
    project.daymill(&["run", "flight_delay", "--date", "2013-06-08"]).expect(0);
    project.daymill(&["ledger", "verify"]).expect(0);
    let plan = project
        .daymill(&[
            "plan",
            "flight_delay",
            "--from",
            "2013-06-07",
            "--to",
            "2013-06-08",
            "--only",
            "stale",
            "--output",
            "json",
        ])
        .expect(0)
        .json();
    assert_eq!(plan["intervals"][0]["reason"], "published by an older Daymill");
    assert_eq!(plan["intervals"][1]["action"], "keep");
}

#[test]
fn stages_leave_what_a_run_leaves_for_a_later_look() {
    let project = Project::flights();
    for stage in ["extract", "transform", "score", "load"] {
        project.daymill(&[stage, "flight_delay", "--date", "2013-06-08"]).expect(0);
    }
    let plan =
        ["plan", "flight_delay", "--from", "2013-06-08", "--to", "2013-06-08", "--only", "stale", "--output", "json"];
    assert_eq!(project.daymill(&plan).expect(0).json()["intervals"][0]["action"], "keep");
    project.edit("sql/flight_delay/features.sql", "SELECT", "SELECT -- changed\n");
    assert_eq!(project.daymill(&plan).expect(0).json()["intervals"][0]["reason"], "SQL changed");
}

#[test]
fn a_retry_keeps_the_model_that_was_pinned() {
    let project = Project::flights();
    project.edit("jobs/flight_delay.toml", "outputs = [\"p_late\"]", "outputs = [\"p_late\"]\nmax_bad_fraction = 1.0");
    let range = ["--from", "2013-06-04", "--to", "2013-06-05", "--model", "as-of", "--output", "json"];
    let told = project.daymill(&[&["backfill", "flight_delay"][..], &range].concat()).expect(0).json();
    let run = told["intervals"][1]["run_id"].as_str().unwrap();
    let again = project.daymill(&["retry", run, "--output", "json"]).expect(0).json();
    assert_eq!(again["intervals"][0]["model"], "flight_delay@1");
    assert_eq!(again["intervals"][0]["content_hash"], told["intervals"][1]["content_hash"]);
    // A run of its own has no plan: what the job names now scores, and that is said.
    let alone = project.daymill(&["run", "flight_delay", "--date", "2013-06-06", "--output", "json"]).expect(0).json();
    project.edit("jobs/flight_delay.toml", "@champion", "@2");
    project.daymill(&["retry", alone["run_id"].as_str().unwrap()]).expect(0).says("the job now names flight_delay@2");
}

#[test]
fn a_retry_goes_by_the_ledger_and_not_by_clocks() {
    let project = Project::flights();
    let days = ["carrier_daily", "--from", "2013-06-01", "--to", "2013-06-02"];
    project.daymill(&[&["backfill"], &days[..]].concat()).expect(0);
    // Runs of a time when the clock was ahead.
    let ahead = "UPDATE daymill_runs SET run_id = 'ffff' || substr(run_id, 5); UPDATE daymill_intervals SET run_id = 'ffff' || substr(run_id, 5)";
    execute_sqlite(&project.warehouse(), ahead);
    let again = [&["backfill"], &days[..], &["--only", "all", "--yes"]].concat();
    outcome(project.command(&again).env("DAYMILL_KILL", "before-commit").output().unwrap()).expect(137);
    let id = rows_of(&project.warehouse(), "SELECT batch_id FROM daymill_batches ORDER BY created_at DESC LIMIT 1");
    let done = project.daymill(&["retry", &id[0], "--output", "json"]).expect(0).json();
    assert_eq!(done["intervals"].as_array().unwrap().len(), 2, "{done}");
}

#[test]
fn a_plan_is_not_applied_with_other_weights() {
    let project = Project::flights();
    project.own_fixtures();
    let range = ["--from", "2013-06-08", "--to", "2013-06-08", "--output", "json"];
    let plan = project.daymill(&[&["plan", "flight_delay"][..], &range].concat()).expect(0);
    project.write("plan.json", &plan.stdout);
    let signature = "fixtures/models/flight_delay/3/model.toml";
    let whole = std::fs::read_to_string(project.path(signature)).unwrap();
    project.write(signature, format!("{whole}# another\n"));
    let refused = project.daymill(&["apply", "plan.json"]).expect(78);
    refused.says("fixtures/models/flight_delay@3 is not the model that the plan was made with");
    project.write(signature, whole);
    project.daymill(&["apply", "plan.json"]).expect(0);
}

#[test]
fn a_promotion_of_tomorrow_means_nothing_today() {
    let project = Project::flights();
    project.own_fixtures();
    project.daymill(&["models", "promote", "fixtures/models/flight_delay@2", "--at", "2999-01-01T00:00:00Z"]).expect(0);
    project.daymill(&["run", "flight_delay", "--date", "2013-06-08"]).expect(0);
    assert_eq!(project.run_json()["model"]["version"], 3);
}
