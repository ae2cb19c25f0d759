//! Many days: killed workers, bad days, every order and number of workers, and nothing but the same table at the end.

use std::time::Duration;

use super::scene::*;
use super::{Random, full, seed};
use crate::support::*;

const DAYS: u32 = 60;

/// Label and content hash of every published day.
fn hashes(scene: &Scene) -> Vec<String> {
    match &scene.database {
        Some(database) => database.rows("SELECT label, content_hash FROM daymill.intervals WHERE run_id IS NOT NULL ORDER BY 1"),
        None => scene.sqlite_rows("SELECT '(' || label || ',' || content_hash || ')' FROM daymill_intervals WHERE run_id IS NOT NULL ORDER BY 1"),
    }
}

fn both(days: u32) -> [Scene; 2] {
    [Scene::bare(None, days), Scene::bare(Some(Database::new()), days)]
}

#[test]
fn f34_sixty_days_eight_workers_and_random_kills_give_the_serial_result() {
    let mut random = Random(seed());
    let serial = Scene::bare(None, DAYS);
    serial.project.daymill(&["backfill", "tally"]).expect(0);
    let expected = hashes(&serial);
    assert_eq!(expected.len(), DAYS as usize);
    for scene in both(DAYS) {
        let mut kills = 0;
        loop {
            let child = scene.project.start("", &["backfill", "tally", "--jobs", "8"]);
            std::thread::sleep(Duration::from_millis(60 + random.below(if full() { 300 } else { 900 })));
            let ended = kill(child);
            if ended.code == 0 || kills == 40 {
                break;
            }
            assert_eq!(ended.code, 137, "{}", ended.stderr);
            kills += 1;
        }
        // A dead worker's session may hold its day a moment longer.
        until("the rest", || {
            scene.project.daymill(&["backfill", "tally", "--jobs", "8"]).code == 0
                && hashes(&scene).len() == DAYS as usize
        });
        assert_eq!(hashes(&scene), expected);
        scene.project.daymill(&["ledger", "verify", "--rows", "tally"]).expect(0);
        eprintln!("{kills} kills of a backfill of {DAYS} days");
    }
}

#[test]
fn any_number_of_workers_and_any_order_give_the_same_table() {
    let mut expected: Option<Vec<String>> = None;
    for (jobs, order, threads) in [("1", "oldest", "1"), ("2", "newest", "2"), ("4", "oldest", "4")] {
        for scene in both(12) {
            let arguments =
                ["backfill", "tally", "--jobs", jobs, "--order", order, "--threads", threads, "--output", "json"];
            let told = scene.project.daymill(&arguments).expect(0).json();
            assert_eq!(told["intervals"].as_array().unwrap().len(), 12);
            let first = told["intervals"][0]["interval"].as_str().unwrap().to_owned();
            assert_eq!(first, if order == "oldest" { date(0) } else { date(11) });
            let found = hashes(&scene);
            assert_eq!(*expected.get_or_insert_with(|| found.clone()), found);
        }
    }
}

#[test]
fn one_bad_day_never_stops_the_others_and_only_it_is_left() {
    for scene in both(6) {
        scene.project.write(&format!("data/{}.parquet", date(2)), "this is no Parquet file");
        let ended = scene.project.daymill(&["backfill", "tally", "--jobs", "2"]).expect(3).says(&date(2));
        assert!(ended.stdout.contains("5 of 6 intervals done"), "{}", ended.stdout);
        assert!(ended.stderr.contains("daymill retry"));
        assert_eq!(hashes(&scene).len(), 5);
        let plan = scene.project.daymill(&["plan", "tally", "--output", "json"]).expect(0).json();
        let actions: Vec<_> =
            plan["intervals"].as_array().unwrap().iter().map(|i| i["action"].as_str().unwrap().to_owned()).collect();
        assert_eq!(actions, ["keep", "keep", "run", "keep", "keep", "keep"]);
        scene.data(&date(2), 2);
        let again = scene.project.daymill(&["backfill", "tally", "--output", "json"]).expect(0).json();
        assert_eq!(again["intervals"].as_array().unwrap().len(), 1);
        assert_eq!(hashes(&scene).len(), 6);
        scene.project.daymill(&["backfill", "tally"]).expect(0);
    }
}

#[test]
fn a_retry_replays_exactly_what_was_stored() {
    for scene in both(5) {
        scene.project.write(&format!("data/{}.parquet", date(3)), "no");
        let told = scene.project.daymill(&["backfill", "tally", "--output", "json"]).expect(3).json();
        let id = told["backfill_id"].as_str().unwrap();
        scene.data(&date(3), 3);
        let again = scene.project.daymill(&["retry", id, "--output", "json"]).expect(0).json();
        assert_eq!(again["intervals"].as_array().unwrap().len(), 1);
        assert_eq!(again["intervals"][0]["interval"], date(3));
        let whole = scene.project.daymill(&["retry", id, "--all", "--output", "json"]).expect(0).json();
        assert_eq!(whole["intervals"].as_array().unwrap().len(), 5);
        let run = again["intervals"][0]["run_id"].as_str().unwrap();
        let one = scene.project.daymill(&["retry", run, "--output", "json"]).expect(0).json();
        assert_eq!(one["intervals"][0]["interval"], date(3));
        scene.project.daymill(&["retry", "nothing-like-it"]).expect(2);
        scene.project.daymill(&["retry", ""]).expect(2).says("too little of an id");
    }
}

#[test]
fn an_interval_is_stale_for_a_reason_that_is_told() {
    for scene in both(3) {
        scene.project.daymill(&["backfill", "tally"]).expect(0);
        let reasons = |arguments: &[&str]| {
            let plan = scene
                .project
                .daymill(&[&["plan", "tally", "--only", "stale", "--output", "json"], arguments].concat())
                .expect(0)
                .json();
            plan["intervals"]
                .as_array()
                .unwrap()
                .iter()
                .map(|i| format!("{} {}", i["action"].as_str().unwrap(), i["reason"].as_str().unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(reasons(&[]), ["keep ", "keep ", "keep "]);
        scene.data(&date(1), 77);
        let found = reasons(&[]);
        assert_eq!(found[1], format!("replace input changed: data/{}.parquet", date(1)));
        assert_eq!((found[0].as_str(), found[2].as_str()), ("keep ", "keep "));
        let status = scene.project.daymill(&["status", "tally", "--output", "json"]).expect(0).json();
        assert_eq!(status["counts"], serde_json::json!({"done": 2, "late data": 1}));
        // The same rows in another file are late data too: what was hashed is the file.
        scene.project.daymill(&["backfill", "tally", "--only", "stale", "--yes"]).expect(0);
        assert_eq!(reasons(&[]), ["keep ", "keep ", "keep "]);
        scene.formula("v * 5.0");
        assert!(reasons(&[]).iter().all(|r| r == "replace SQL changed"), "{:?}", reasons(&[]));
        scene.project.daymill(&["backfill", "tally", "--only", "stale", "--yes"]).expect(0);
        scene.project.edit(
            "jobs/tally.toml",
            "timezone",
            "# a remark and a description change nothing\ndescription = \"x\"\ntimezone",
        );
        assert_eq!(reasons(&[]), ["keep ", "keep ", "keep "]);
        scene.project.edit("jobs/tally.toml", "v = \"float\"", "v = \"float\"\n");
        assert_eq!(reasons(&[]), ["keep ", "keep ", "keep "]);
    }
}

#[test]
fn a_plan_that_the_ledger_left_behind_is_refused() {
    for scene in both(4) {
        let plan = ["plan", "tally", "--only", "all", "-o", "plan.json"];
        scene.project.daymill(&plan).expect(0);
        assert!(hashes(&scene).is_empty(), "a plan changes nothing");
        scene.project.daymill(&["run", "tally", "--date", &date(0)]).expect(0);
        scene.project.daymill(&["apply", "plan.json"]).expect(76).says("the ledger moved");
        scene.project.daymill(&plan).expect(0);
        scene.formula("v * 9.0");
        scene.project.daymill(&["apply", "plan.json"]).expect(78).says("its SQL changed");
        scene.formula("v * 3.0");
        scene.project.daymill(&["apply", "plan.json", "--jobs", "2"]).expect(0);
        assert_eq!(hashes(&scene).len(), 4);
        scene.project.daymill(&["apply", "plan.json"]).expect(76);
        scene.project.write("plan.json", "{}");
        scene.project.daymill(&["apply", "plan.json"]).expect(78);
    }
}

#[test]
fn a_server_that_goes_away_ends_the_backfill_with_69() {
    let server = Server::start();
    let scene = Scene::bare(Some(server.database()), 8);
    let child = scene.project.start("batch-loaded=2*off->1*sleep(1500)", &["backfill", "tally"]);
    until("two days", || hashes(&scene).len() == 2);
    server.stop_at_once();
    finish(child).expect(69).says("intervals are not done");
    server.up();
    scene.project.daymill(&["backfill", "tally"]).expect(0);
    assert_eq!(hashes(&scene).len(), 8);
}

#[test]
fn a_signal_ends_a_backfill_and_the_next_one_goes_on() {
    for scene in both(8) {
        let child = scene.project.start("batch-loaded=3*off->sleep(700)", &["backfill", "tally"]);
        until("three days", || hashes(&scene).len() >= 3);
        signal(&child, "TERM");
        let ended = finish(child).expect(143);
        assert!(ended.stdout.contains("were not begun"), "{}", ended.stdout);
        scene.project.daymill(&["backfill", "tally"]).expect(0);
        assert_eq!(hashes(&scene).len(), 8);
    }
}

#[test]
fn ranges_are_checked_before_anything_runs() {
    let scene = Scene::bare(None, 3);
    let refused = |arguments: &[&str]| scene.project.daymill(&[&["backfill", "tally"], arguments].concat()).expect(2);
    refused(&["--from", "2020-03-03", "--to", "2020-03-01"]);
    refused(&["--from", "2020-02-30"]);
    refused(&["--start", "2020-03-01T00:00:00Z", "--end", "2020-03-01T00:00:00Z"]);
    refused(&["--start", "2020-03-01T01:00:00Z", "--end", "2020-03-02T00:00:00Z"]);
    refused(&["--jobs", "0"]);
    scene
        .project
        .daymill(&["backfill", "tally", "--start", "2020-03-01T00:00:00Z", "--end", "2020-03-03T00:00:00Z"])
        .expect(0);
    assert_eq!(hashes(&scene).len(), 2);
    // A changed zone would let rows stand twice.
    scene.project.edit("jobs/tally.toml", "\"UTC\"", "\"America/New_York\"");
    scene.project.daymill(&["run", "tally", "--date", "2020-03-02"]).expect(78).says("overlaps");
}

#[test]
fn a_verification_beside_running_work_sees_one_snapshot() {
    for scene in both(40) {
        let child = scene.project.start("", &["backfill", "tally", "--jobs", "2"]);
        until("a first day", || !hashes(&scene).is_empty());
        while hashes(&scene).len() < 40 {
            scene.project.daymill(&["ledger", "verify", "--rows", "tally"]).expect(0);
        }
        finish(child).expect(0);
    }
}

#[test]
fn a_day_that_was_published_before_it_ended_is_not_done() {
    for scene in both(1) {
        let today = chrono::Utc::now().date_naive().to_string();
        scene.data(&today, 5);
        scene.project.edit("jobs/tally.toml", &format!("ends = \"{}\"\n", date(0)), "");
        scene.project.daymill(&["run", "tally", "--date", &today]).expect(2).says("has not ended");
        scene.project.daymill(&["run", "tally", "--date", &today, "--allow-partial"]).expect(0);
        let plan = |only: &str| {
            let arguments = ["plan", "tally", "--from", &today, "--to", &today, "--only", only, "--output", "json"];
            scene.project.daymill(&arguments).expect(0).json()["intervals"][0].clone()
        };
        assert_eq!(
            (plan("all")["action"].as_str(), plan("all")["standing"].as_str()),
            (Some("leave"), Some("not over yet"))
        );
        // The same day seen from tomorrow: what was published then is not the day.
        let moved = "interval_start = '2020-02-01T00:00:00Z', interval_end = '2020-02-02T00:00:00Z'";
        scene.execute(&format!("UPDATE LEDGER_runs SET {moved}"));
        scene.execute("UPDATE tally SET interval_start = '2020-02-01T00:00:00Z'");
        scene.execute(&format!("UPDATE LEDGER_intervals SET {moved}, published_at = '2020-02-01T12:00:00Z'"));
        let arguments =
            ["plan", "tally", "--from", "2020-02-01", "--to", "2020-02-01", "--only", "stale", "--output", "json"];
        let seen = scene.project.daymill(&arguments).expect(0).json()["intervals"][0].clone();
        assert!(seen["reason"].as_str().unwrap().contains("published before it had ended"), "{seen}");
    }
}

#[test]
fn two_schemas_of_one_database_do_not_share_a_ledger() {
    let scene = Scene::bare(Some(Database::new()), 1);
    scene.database.as_ref().unwrap().execute("CREATE SCHEMA other");
    let text = std::fs::read_to_string(scene.project.path("daymill.toml")).unwrap();
    scene.project.write("daymill.toml", format!("default_target = \"only\"\n{text}[target.second]\nkind = \"postgres\"\nconnection = \"house\"\nschema = \"other\"\n"));
    scene.project.daymill(&["backfill", "tally"]).expect(0);
    scene.project.daymill(&["backfill", "tally", "--target", "second"]).expect(78).says("a database of its own");
    let status = scene.project.daymill(&["status", "tally", "--target", "second", "--output", "json"]).expect(0).json();
    assert_eq!(status["counts"], serde_json::json!({"missing": 1}));
}
