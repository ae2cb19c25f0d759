//! The log: each line says of which run, job, interval and stage it is, in text and in JSON; how much is said is asked for;
//! secrets are in none of it.

use crate::support::*;

const DAY: [&str; 4] = ["run", "carrier_daily", "--date", "2013-06-01"];

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[test]
fn every_line_says_of_which_run_it_is() {
    let project = Project::flights();
    let ran = project.daymill(&[&DAY[..], &["-vv", "--log-format", "json"]].concat()).expect(0);
    let run = project.run_json()["run_id"].clone();
    let lines = lines(&ran.stderr);
    for line in &lines {
        assert_eq!(
            (&line["run"], &line["job"], &line["interval"]),
            (&run, &"carrier_daily".into(), &"2013-06-01".into()),
            "{line}"
        );
        assert!(line["stage"].is_string() && line["time"].is_string() && line["message"].is_string(), "{line}");
    }
    for (level, message) in [("debug", "committed"), ("trace", "a batch is written"), ("debug", "an input")] {
        assert!(
            lines.iter().any(|line| line["level"] == level && line["message"] == message),
            "{message}: {}",
            ran.stderr
        );
    }
    let end = lines.iter().find(|line| line["state"] == "succeeded").unwrap();
    assert_eq!(end["rows"], project.run_json()["rows"]["published"]);
    let text = project.daymill(&[&DAY[..], &["-v"]].concat()).expect(0).stderr;
    let run = project.run_json()["run_id"].as_str().unwrap().to_owned();
    for line in text.lines() {
        assert!(line.contains(&format!(" run={run} job=carrier_daily interval=2013-06-01 stage=")), "{line}");
    }
}

#[test]
fn an_error_says_of_which_run_it_is() {
    let project = Project::flights();
    project.write("sql/carrier_daily/summary.sql", "SELECT nothing FROM flights");
    let failed = project.daymill(&[&DAY[..], &["--log-format", "json"]].concat()).expect(78);
    let run = project.run_json()["run_id"].clone();
    let lines = lines(&failed.stderr);
    assert!(lines.iter().all(|line| line["run"] == run && line["interval"] == "2013-06-01"), "{}", failed.stderr);
    assert_eq!(lines.last().unwrap()["class"], "configuration");
}

#[test]
fn a_backfill_s_lines_are_of_their_intervals() {
    let project = Project::flights();
    let range = ["backfill", "carrier_daily", "--from", "2013-06-01", "--to", "2013-06-03", "--jobs", "2"];
    let ran = project.daymill(&[&range[..], &["-v", "--log-format", "json"]].concat()).expect(0);
    let lines = lines(&ran.stderr);
    for date in ["2013-06-01", "2013-06-02", "2013-06-03"] {
        let own: Vec<_> = lines.iter().filter(|line| line["interval"] == date).collect();
        assert!(own.iter().all(|line| line["run"] == own[0]["run"]), "{date}: {}", ran.stderr);
        assert!(
            own.iter().any(|line| line["message"] == "committed") && own.iter().any(|line| line["done"].is_u64()),
            "{date}"
        );
    }
}

#[test]
fn how_much_is_said_is_asked_for() {
    let project = Project::flights();
    let said = |more: &[&str]| project.daymill(&[&DAY[..], more].concat()).expect(0).stderr;
    let (usual, quiet) = (said(&[]), said(&["-q"]));
    assert!(usual.contains("succeeded") && !usual.contains("debug:"), "{usual}");
    assert!(!quiet.contains("succeeded") && !quiet.contains("debug:"), "{quiet}");
    assert!(said(&["-v"]).contains("debug: committed") && !said(&["-v"]).contains("a batch is written"));
    assert!(said(&["-vv"]).contains("trace: a batch is written"));
    let project = Project::flights().env("DAYMILL_LOG", "daymill::load=debug");
    let said = |more: &[&str]| project.daymill(&[&DAY[..], more].concat()).expect(0).stderr;
    assert!(said(&[]).contains("committed") && !said(&[]).contains("an input"));
    // Flags go before the environment.
    assert!(!said(&["-q"]).contains("committed"));
    let project = Project::flights().env("DAYMILL_LOG", "daymill=loud");
    project
        .daymill(&DAY)
        .expect(78)
        .says("the environment variable DAYMILL_LOG is \"daymill=loud\", which cannot be read");
    Project::flights().daymill(&[&DAY[..], &["-v", "-q"]].concat()).expect(2);
}

#[test]
fn no_secret_is_in_the_most_talkative_log() {
    const SECRET: &str = "hunter2\"in the\\log";
    let database = Database::new();
    let project = Project::empty().env("HOUSE_URL", &database.url).env("HOUSE_PASSWORD", SECRET);
    project.write(
        "daymill.toml",
        "[connection.c]\nurl = \"${env:HOUSE_URL}\"\npassword = \"${env:HOUSE_PASSWORD}\"\n[target.t]\nkind = \"postgres\"\nconnection = \"c\"\n",
    );
    // The log names each input: this one by a path with the secret in it.
    let path = format!("in/{SECRET}.jsonl");
    project.write(&path, "{\"id\": 1, \"t\": \"a\"}\n");
    project.write("sql/a.sql", "SELECT id, t FROM rows");
    project.write(
        "jobs/a.toml",
        format!("timezone = \"UTC\"\nkey = [\"id\"]\n[extract.rows]\njsonl = {path:?}\nsnapshot = true\n[extract.rows.columns]\nid = \"int\"\nt = \"text\"\n\
         [transform]\nsql = \"sql/a.sql\"\n[load]\ntable = \"a\"\n"),
    );
    for format in ["text", "json"] {
        let ran = project.daymill(&["run", "a", "--date", "2024-01-01", "-vv", "--log-format", format]).expect(0);
        assert!(ran.stderr.contains("a batch is written"), "{}", ran.stderr);
        let input = ran.stderr.lines().find(|line| line.contains("an input")).unwrap();
        assert!(!ran.stderr.contains("hunter2") && !ran.stdout.contains("hunter2"), "{}", ran.stderr);
        assert!(input.contains("***"), "{input}");
    }
}
