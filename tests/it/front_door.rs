//! What somebody meets first and every day: a new project, dates as people say them, ranges, lists, and what replaces what.

use chrono::{DateTime, Days, NaiveDate, Timelike, Utc};

use crate::support::*;

const RUN: [&str; 4] = ["run", "flight_delay", "--date", "2013-06-08"];

#[test]
fn an_empty_project_checks_and_is_clean_in_git() {
    let project = Project::empty();
    let new = project.path("new");
    let folder = new.display().to_string();
    shows(project.daymill(&["init", &folder]).expect(0), "daymill models import");
    let at = |arguments: &[&str]| project.daymill(&[&["--project", &folder], arguments].concat());
    shows(at(&["check"]).expect(0), "daymill.toml, target dev");
    shows(at(&["jobs"]).expect(0), "no file in jobs/ yet");
    shows(at(&["models", "list"]).expect(0), "no models yet");
    at(&["status"]).expect(0);
    at(&["runs"]).expect(0);
    assert!(std::fs::read_to_string(new.join("sql/grants.sql")).unwrap().contains("daymill_writer"));
    assert!(std::fs::read_to_string(new.join(".gitignore")).unwrap().contains(".daymill/"));
    project.daymill(&["init", &folder]).expect(2).says("never overwrites");
    // A clone has no empty folders.
    std::fs::remove_dir_all(new.join("jobs")).unwrap();
    at(&["check"]).expect(0);
    // Two projects are two.
    let other = project.path("other").display().to_string();
    project.daymill(&["init", &other]).expect(0);
    let id = |folder: &str| {
        let text = std::fs::read_to_string(format!("{folder}/daymill.toml")).unwrap();
        text.lines().find(|line| line.starts_with("id")).unwrap().to_owned()
    };
    assert_ne!(id(&folder), id(&other));
}

#[track_caller]
pub fn shows(outcome: Outcome, text: &str) {
    assert!(outcome.stdout.contains(text), "{text:?} is not in:\n{}", outcome.stdout);
}

/// A zone in which it is about noon now, so that no test runs over midnight; and the date there.
pub fn noon() -> (String, NaiveDate) {
    let now: DateTime<Utc> = Utc::now();
    let ahead = 12 - i32::try_from(now.hour()).unwrap();
    // The names of these zones have the sign turned.
    let zone = match ahead {
        0 => "UTC".to_owned(),
        1.. => format!("Etc/GMT-{ahead}"),
        _ => format!("Etc/GMT+{}", -ahead),
    };
    (zone, (now + chrono::Duration::hours(ahead.into())).date_naive())
}

/// A job over files of the last days, one row each.
fn recent() -> (Project, NaiveDate) {
    let (zone, today) = noon();
    let project = Project::empty();
    project.write("daymill.toml", "[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n");
    project.write("sql/j.sql", "SELECT id FROM rows");
    project.write(
        "jobs/j.toml",
        format!(
            "timezone = {zone:?}\nkey = [\"id\"]\n[extract.rows]\ncsv = \"in/{{date}}.csv\"\n[extract.rows.columns]\nid = \"int\"\n\
             [transform]\nsql = \"sql/j.sql\"\n[load]\ntable = \"out\"\n"
        ),
    );
    for days in 0..50 {
        let date = today - Days::new(days);
        project.write(&format!("in/{date}.csv"), format!("id\n{days}\n"));
    }
    (project, today)
}

fn ran(project: &Project) -> String {
    project.run_json()["interval"]["label"].as_str().unwrap().to_owned()
}

#[test]
fn dates_are_said_as_people_say_them() {
    let (project, today) = recent();
    let days = |n: u64| (today - Days::new(n)).to_string();
    for (said, meant) in [("yesterday", days(1)), ("-1d", days(1)), ("-3d", days(3)), (days(2).as_str(), days(2))] {
        project.daymill(&["run", "j", "--date", said]).expect(0);
        assert_eq!(ran(&project), meant, "{said}");
    }
    project.daymill(&["run", "j", "--date", "today"]).expect(2).says("has not ended");
    project.daymill(&["run", "j", "--date", "today", "--allow-partial"]).expect(0);
    project.daymill(&["run", "j", "--date", "tomorrow"]).expect(2).says("today, yesterday or -3d");
    let count = |arguments: &[&str]| {
        let told = project
            .daymill(&[&["plan", "j", "--only", "all", "--output", "json"], arguments].concat())
            .expect(0)
            .json();
        let intervals = told["intervals"].as_array().unwrap().clone();
        let label = |at: usize| intervals[at]["interval"].as_str().unwrap().to_owned();
        (intervals.len(), label(0), label(intervals.len() - 1))
    };
    assert_eq!(count(&["--last", "3d"]), (3, days(3), days(1)));
    assert_eq!(count(&["--last", "2w"]), (14, days(14), days(1)));
    assert_eq!(count(&["--from", "-5d", "--to", "yesterday"]), (5, days(5), days(1)));
    // This month ends with yesterday, unless today is its first day.
    let month = (today - Days::new(1)).format("%Y-%m").to_string();
    let (_, first, last) = count(&["--month", &month]);
    assert_eq!((first, last), (format!("{month}-01"), days(1)));
    project.daymill(&["plan", "j", "--month", "2999-01"]).expect(2).says("no interval of --month 2999-01");
    project.daymill(&["plan", "j", "--last", "30"]).expect(2).says("30d or 4w");
    project.daymill(&["plan", "j", "--last", "3d", "--from", &days(3)]).expect(2);
    // The job's range binds a month.
    project.edit("jobs/j.toml", "key =", &format!("starts = {:?}\nkey =", days(2)));
    assert_eq!(count(&["--last", "30d"]), (2, days(2), days(1)));
}

#[test]
fn an_interval_after_the_job_s_last_is_no_failure() {
    let (project, today) = recent();
    let day = |n: u64| (today - Days::new(n)).to_string();
    project.edit("jobs/j.toml", "key =", &format!("starts = {:?}\nends = {:?}\nkey =", day(9), day(5)));
    let date = day(4);
    let run = ["run", "j", "--date", &date];
    project.daymill(&run).expect(0).says("outside of the job's range").says("ends");
    project.daymill(&[&run[..], &["--skip-exit-code", "99"]].concat()).expect(99);
    assert_eq!(project.run_json()["state"], "skipped");
    // Nothing was recorded, and nothing is made.
    assert!(!project.path("w.sqlite").exists());
    project.daymill(&["run", "j", "--date", &day(5)]).expect(0);
    // A range is cut there.
    let plan = |from: u64| project.daymill(&["plan", "j", "--from", &day(from), "--to", &day(3)]);
    let cut = plan(6).expect(0).says("2 intervals after the job's last date are left out");
    assert!(cut.stdout.contains("1 of 2 intervals to run"), "{}", cut.stdout);
    plan(4).expect(2).says("all of these intervals are after the job's last date");
}

#[test]
fn a_command_that_is_proposed_can_be_pasted() {
    let (project, today) = recent();
    project.write(
        "daymill.toml",
        "default_target = \"t\"\n[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n[target.other]\nkind = \"sqlite\"\npath = \"o.sqlite\"\n",
    );
    let date = |n: u64| (today - Days::new(n)).to_string();
    for n in 2..5 {
        std::fs::remove_file(project.path("in").join(format!("{}.csv", date(n)))).unwrap();
    }
    let other = ["--target", "other"];
    let backfill = ["backfill", "j", "--from", &date(5), "--to", &date(1)];
    let failed = project.daymill(&[&backfill[..], &other].concat()).expect(3);
    // Three nights failed alike: the cause stands there once.
    assert_eq!(failed.stdout.matches("no file matches").count(), 1, "{}", failed.stdout);
    assert!(failed.stdout.contains(&format!("and so did 2 others, up to {}", date(2))), "{}", failed.stdout);
    let hint = failed.stderr.split("then: daymill ").nth(1).unwrap().trim().to_owned();
    assert!(hint.ends_with("--target other"), "{hint}");
    project.daymill(&hint.split(' ').collect::<Vec<_>>()).expect(3);
    // A job that does not say when it starts is filled by a range.
    let status = project.daymill(&[&["status", "j"][..], &other].concat()).expect(0).stdout;
    let proposed = format!("daymill backfill j --from {} --to {} --target other", date(4), date(2));
    assert!(status.contains(&proposed), "{status}");
    let usual = project.daymill(&["status", "j", "--last", "3d"]).expect(0).stdout;
    assert!(usual.contains("daymill backfill j --from") && !usual.contains("--target"), "{usual}");
}

#[test]
fn check_finds_what_a_run_would_refuse() {
    let (project, _) = recent();
    project.daymill(&["run", "j", "--date", "yesterday"]).expect(0);
    std::fs::rename(project.path("jobs/j.toml"), project.path("jobs/renamed.toml")).unwrap();
    let checked = project.daymill(&["check", "renamed"]).expect(78).stdout;
    assert!(checked.contains("the table out belongs to the job j"), "{checked}");
    std::fs::copy(project.path("jobs/renamed.toml"), project.path("jobs/j.toml")).unwrap();
    let checked = project.daymill(&["check", "--offline"]).expect(78).stdout;
    assert!(checked.contains("j and renamed both publish to out"), "{checked}");
}

#[test]
fn published_intervals_are_replaced_when_somebody_said_so() {
    let (project, today) = recent();
    project.daymill(&["backfill", "j", "--last", "3d"]).expect(0);
    let again = ["backfill", "j", "--last", "3d", "--only", "all"];
    project.daymill(&again).expect(2).says("3 published intervals would be replaced").says("--yes");
    project.daymill(&[&again[..], &["--yes"]].concat()).expect(0);
    shows(project.daymill(&["backfill", "j", "--last", "3d", "--yes"]).expect(0), "--only all");
    // What failed while it was being replaced was meant to be.
    let day = (today - Days::new(2)).to_string();
    let path = project.path("in").join(format!("{day}.csv"));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, "id\nx\n").unwrap();
    project.daymill(&["run", "j", "--date", &day]).expect(65);
    std::fs::write(&path, whole).unwrap();
    project.daymill(&["backfill", "j", "--last", "3d"]).expect(0).says("1 of 3");
    // `run` is of its own interval.
    project.daymill(&["run", "j", "--date", &day]).expect(0);
}

#[test]
fn the_newest_run_or_backfill_is_retried_without_its_id() {
    let (project, today) = recent();
    project.daymill(&["retry", "--last"]).expect(2).says("no run to retry");
    let bad = (today - Days::new(2)).to_string();
    let path = format!("in/{bad}.csv");
    project.write(&path, "id\nx\n");
    project.daymill(&["backfill", "j", "--last", "3d"]).expect(3);
    project.write(&path, "id\n7\n");
    let told = project.daymill(&["retry", "--last", "--output", "json"]).expect(0).json();
    // Of the backfill only what failed, which was not its newest run.
    assert_eq!(told["intervals"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["intervals"][0]["interval"], bad, "{told}");
    project.daymill(&["run", "j", "--date", "-4d"]).expect(0);
    let told = project.daymill(&["retry", "--last", "--output", "json"]).expect(0).json();
    assert_eq!(told["intervals"][0]["interval"], (today - Days::new(4)).to_string(), "{told}");
    project.daymill(&["retry", "--last", "abcd"]).expect(2);
    project.daymill(&["retry"]).expect(2);
}

#[test]
fn status_can_fail_when_something_is_missing() {
    let (project, _) = recent();
    let status = |code: i32| project.daymill(&["status", "j", "--last", "3d", "--exit-code"]).expect(code);
    status(1);
    project.daymill(&["status", "j", "--last", "3d"]).expect(0);
    project.daymill(&["backfill", "j", "--last", "3d"]).expect(0);
    status(0);
    // Without a range it is up to the last night, also when that one did not run.
    let (project, _) = recent();
    let status = |code: i32| project.daymill(&["status", "--exit-code"]).expect(code);
    status(1);
    project.daymill(&["run", "j", "--date", "-3d"]).expect(0);
    status(1);
    project.daymill(&["backfill", "j", "--last", "3d"]).expect(0);
    status(0);
    // Another job that has nothing in a range hides none.
    project.write("jobs/later.toml", std::fs::read_to_string(project.path("jobs/j.toml")).unwrap());
    project.edit("jobs/later.toml", "key =", "starts = \"2999-01-01\"\nkey =");
    project.edit("jobs/later.toml", "\"out\"", "\"later\"");
    project.daymill(&["status", "--last", "3d", "--exit-code"]).expect(0);
}

#[test]
fn jobs_and_models_are_listed() {
    let project = Project::flights();
    for text in ["flight_delay", "America/New_York", "carrier_daily"] {
        shows(project.daymill(&["jobs"]).expect(0), text);
    }
    let told = project.daymill(&["jobs", "--output", "json"]).expect(0).json();
    let job = told.as_array().unwrap().iter().find(|job| job["job"] == "flight_delay").unwrap().clone();
    assert_eq!((&job["table"], &job["grain"]), (&"flight_delay_scores".into(), &"day".into()));
    // One that cannot be read hides no other.
    project.write("jobs/broken.toml", "key = 3\n");
    shows(project.daymill(&["jobs"]).expect(78).says("broken.toml"), "carrier_daily");
    let project = Project::empty();
    project.daymill(&["init", "x", "--example", "flights"]).expect(0);
    let list = |output: &str| project.daymill(&["--project", "x", "models", "list", "--output", output]);
    for text in ["fixtures/models/flight_delay@3", "champion", "xgboost", "score"] {
        shows(list("human").expect(0), text);
    }
    assert_eq!(list("json").expect(0).json()[0]["aliases"][0], "champion");
    let weights = project.path("x/fixtures/models/flight_delay/3/model.ubj");
    std::fs::write(&weights, "no").unwrap();
    shows(list("human").expect(66), "refused");
}

#[test]
fn a_model_has_one_spelling_everywhere_and_a_run_may_name_one() {
    let project = Project::flights();
    for model in ["fixtures/models/flight_delay@2", "fixtures/models/flight_delay/2"] {
        project.daymill(&["models", "verify", model]).expect(0);
        project.daymill(&["models", "show", model]).expect(0);
        // Its contract imputes, which the job does not allow: the model is the other one.
        project.daymill(&[&RUN[..], &["--model", model]].concat()).expect(65).says("max_bad_fraction");
        assert_eq!(project.run_json()["model"]["version"], 2, "{model}");
        project
            .daymill(&["plan", "flight_delay", "--from", "2013-06-08", "--to", "2013-06-08", "--model", model])
            .expect(0);
    }
    project.daymill(&RUN).expect(0);
    assert_eq!(project.run_json()["model"]["version"], 3);
    project.daymill(&[&RUN[..], &["--model", "nothing"]].concat()).expect(78).says("which version");
    project.daymill(&["run", "carrier_daily", "--date", "2013-06-08", "--model", "x@1"]).expect(2).says("no [score]");
    // In a job file too, and of a file without a job.
    project.edit("jobs/flight_delay.toml", "flight_delay@champion", "flight_delay/3");
    project.daymill(&RUN).expect(0);
    for stage in ["extract", "transform"] {
        project.daymill(&[stage, "flight_delay", "--date", "2013-06-08"]).expect(0);
    }
    let features = ".daymill/stages/flight_delay/2013-06-08/features.parquet";
    let score = |model: &str| project.daymill(&["score", "--model", model, "--in", features, "--out", "s.parquet"]);
    score("fixtures/models/flight_delay@3").expect(0);
    score("fixtures/models/flight_delay/3").expect(0);
    score("fixtures/models/flight_delay@champion").expect(0);
    // A column that is kept is not taken for the score, nor the score for it.
    let model = "fixtures/models/flight_delay@3";
    project
        .daymill(&["score", "--model", model, "--in", features, "--out", "t.parquet", "--keep", "carrier"])
        .expect(0);
    let kept = ["score", "--model", model, "--in", "s.parquet", "--out", "u.parquet", "--keep", "score"];
    project.daymill(&kept).expect(66).says("has the name of an output");
}

#[test]
fn folders_of_runs_do_not_pile_up() {
    let (project, _) = recent();
    let folders = || {
        let all = std::fs::read_dir(project.path(".daymill/runs")).map(|all| all.flatten().collect::<Vec<_>>());
        all.unwrap_or_default().into_iter().filter(|entry| entry.path().is_dir()).count()
    };
    // A mistyped command is no run.
    project.daymill(&["run", "j", "--date", "tomorrow"]).expect(2);
    assert_eq!(folders(), 0);
    project.edit("daymill.toml", "[target.t]", "keep_runs = 3\n[target.t]");
    for _ in 0..5 {
        project.daymill(&["run", "j", "--date", "yesterday"]).expect(0);
    }
    assert_eq!(folders(), 3);
    project.daymill(&["show"]).expect(0);
    project.daymill(&["backfill", "j", "--last", "10d"]).expect(0);
    // The backfill's own is older than those of its runs, and is kept beside them.
    assert_eq!(folders(), 4);
    project.daymill(&["runs", "--limit", "20"]).expect(0);
}

#[test]
fn a_dry_run_shows_what_would_be_published_and_writes_nothing() {
    let project = Project::flights();
    let look = |arguments: &[&str]| project.daymill(&[&RUN[..], &["--dry-run"], arguments].concat());
    let first = look(&[]).expect(0);
    for text in ["looked at", "nothing is published of it yet", "to write", "column", "nulls"] {
        assert!(first.stdout.contains(text), "{text:?} is not in:\n{}", first.stdout);
    }
    assert!(!project.path(".daymill").exists(), "a look leaves nothing behind");
    let told = look(&["--output", "json"]).expect(0).json();
    let published = project.daymill(&[&RUN[..], &["--output", "json"]].concat()).expect(0).json();
    // The same rows, scores and content as the run.
    for key in ["content_hash", "scores", "model", "rows"] {
        assert_eq!(told[key], published[key], "{key}");
    }
    assert_eq!(told["preview"]["replaces"], serde_json::Value::Null);
    let again = look(&["--output", "json", "--print", "scores", "--limit", "3"]).expect(0).json();
    assert_eq!(
        (&again["preview"]["replaces"], &again["preview"]["limit"]),
        (&published["rows"]["published"], &3.into())
    );
    assert_eq!(again["preview"]["sample"].as_array().unwrap().len(), 3);
    assert_eq!(again["rows"]["transformed"], 3);
    let columns = again["preview"]["sample_columns"].as_array().unwrap();
    assert!(columns.contains(&"p_late".into()) && columns.contains(&"carrier".into()), "{columns:?}");
    let features = look(&["--output", "json", "--print", "features"]).expect(0).json();
    assert_eq!(features["preview"]["sample"].as_array().unwrap().len(), 10);
    let described = features["preview"]["columns"].as_array().unwrap();
    assert_eq!(described.len(), features["preview"]["sample_columns"].as_array().unwrap().len());
    let distance = described.iter().find(|column| column["name"] == "distance").unwrap();
    assert_eq!((&distance["min"], &distance["max"], &distance["nulls"]), (&"94".into(), &"4983".into(), &0.into()));
    assert!((distance["mean"].as_f64().unwrap() - 1087.85).abs() < 0.01, "{distance}");
    // One attempt is recorded, and its rows stand.
    assert_eq!(project.daymill(&["runs", "--output", "json"]).expect(0).json().as_array().unwrap().len(), 1);
    project.daymill(&["ledger", "verify", "--rows", "flight_delay"]).expect(0);
    // What would be refused is refused, and a part of a day is not judged.
    project.edit("jobs/flight_delay.toml", "rows = [100, 5000]", "rows = [100, 200]");
    // With its figures, which are wanted then.
    shows(look(&[]).expect(65), "distance");
    look(&["--limit", "50"]).expect(0);
    project.edit("jobs/flight_delay.toml", "rows = [100, 200]", "rows = [0, 5000]");
    project.edit("sql/flight_delay/features.sql", "WHERE", "WHERE false AND");
    look(&[]).expect(65).says("gave no rows");
    project.edit("jobs/flight_delay.toml", "key ", "on_empty = \"skip\"\nkey ");
    look(&[]).expect(0).says("would stay");
    project.edit("jobs/flight_delay.toml", "keep  = [\"dest\"]", "keep  = [\"dest\", \"distance\"]");
    look(&[]).expect(78).says("distance");
    project.edit("jobs/flight_delay.toml", "keep  = [\"dest\", \"distance\"]", "keep  = [\"dest\"]");
    project.edit("sql/flight_delay/features.sql", "SELECT", "SELECT nothing AS x,");
    look(&[]).expect(78).says("nothing");
    project.daymill(&[&RUN[..], &["--limit", "3"]].concat()).expect(2).says("--dry-run");
}

#[test]
fn a_connection_may_be_a_service_of_libpq() {
    let database = Database::new();
    database.execute("CREATE TABLE t (id bigint, at timestamptz); INSERT INTO t VALUES (1, '2024-01-01 06:00Z')");
    // postgres://USER@HOST:PORT/NAME
    let (_, rest) = database.url.split_once("://").unwrap();
    let (login, rest) = rest.split_once('@').unwrap();
    let (address, name) = rest.split_once('/').unwrap();
    let (host, port) = address.split_once(':').unwrap();
    let user = login.split(':').next().unwrap();
    let project = Project::empty();
    project.write(
        "services",
        format!("[other]\nhost=nowhere\n[ops]\nhost={host}\nport={port}\nuser={user}\ndbname={name}\n"),
    );
    project.write(
        "daymill.toml",
        "[connection.c]\nservice = \"ops\"\n[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n",
    );
    project.write("passwords", "*:*:*:*:secret\n");
    let passwords = project.path("passwords");
    let mode = |mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&passwords, mode).unwrap();
    };
    mode(0o600);
    let services = project.path("services").display().to_string();
    let project = project.env("PGSERVICEFILE", &services).env("PGPASSFILE", &passwords.display().to_string());
    let new = ["new", "job", "j", "--from", "c.t", "--key", "id", "--time", "at"];
    project.daymill(&new).expect(0);
    project.daymill(&["run", "j", "--date", "2024-01-01"]).expect(0);
    assert_eq!(project.run_json()["rows"]["published"], 1);
    mode(0o644);
    project.daymill(&["run", "j", "--date", "2024-01-01"]).expect(78).says("can be read by others").says("chmod 600");
    mode(0o600);
    project.edit("daymill.toml", "ops", "nobody");
    project.daymill(&["run", "j", "--date", "2024-01-01"]).expect(78).says("no service \"nobody\"").says("services");
    project.write("services", "[nobody]\nhost=x\nfriend=y\n");
    project.daymill(&["run", "j", "--date", "2024-01-01"]).expect(78).says("friend");
}

#[test]
fn all_columns_that_a_transform_lacks_are_told_at_once() {
    let project = Project::flights();
    project.write(
        "sql/carrier_daily/summary.sql",
        "SELECT f.flight_date, f.carier AS carrier, count(*) AS flights,\n  avg(f.arr_dely) AS mean_delay, max(tailnumber) AS tail\nFROM flights f GROUP BY 1, 2",
    );
    let said = project.daymill(&["run", "carrier_daily", "--date", "2013-06-01"]).expect(78);
    said.says("summary.sql:1:23: there is no column f.carier")
        .says("summary.sql:2:7: there is no column f.arr_dely (did you mean arr_delay?)")
        .says("summary.sql:2:38: there is no column tailnumber");
}
