//! Profiles of what was published, and drift by them: as somebody uses them, and as they are damaged.

use crate::support::*;

const DAY: u32 = 1;

/// A job without a model: an amount, a kind, and a number of the day.
fn project() -> Project {
    let project = Project::empty();
    project.write("daymill.toml", "[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n");
    project.write("sql/j.sql", "SELECT id, amount, kind, extract(day FROM :date) AS number FROM rows");
    project.write(
        "jobs/j.toml",
        "timezone = \"UTC\"\nkey = [\"id\"]\nstarts = \"2024-01-01\"\nends = \"2024-01-31\"\n[extract.rows]\njsonl = \"in/{date}.jsonl\"\n\
         [extract.rows.columns]\nid = \"int\"\namount = \"float\"\nkind = \"text\"\n[transform]\nsql = \"sql/j.sql\"\n\
         [load]\ntable = \"out\"\n[drift]\nignore = [\"number\"]\n",
    );
    project
}

fn day(project: &Project, day: u32, shift: f64, kinds: &[&str]) {
    let amount = |i: u32| match (i * 7919 + day * 31) % 1009 {
        n if n < 20 => "null".to_owned(),
        n => format!("{}", f64::from(n) / 100.0 + shift),
    };
    let line = |i| {
        let kind = kinds[(i + day) as usize % kinds.len()];
        format!("{{\"id\": {i}, \"amount\": {}, \"kind\": \"{kind}\"}}\n", amount(i))
    };
    project.write(&format!("in/2024-01-{day:02}.jsonl"), (0..1009).map(line).collect::<String>());
    project.daymill(&["run", "j", "--date", &format!("2024-01-{day:02}")]).expect(0);
}

const KINDS: [&str; 3] = ["a", "b", "c"];

#[test]
fn a_column_that_moves_is_found_and_stays_found() {
    let project = project();
    for n in DAY..=16 {
        day(&project, n, 0.0, &KINDS);
    }
    let calm = project.daymill(&["drift", "j"]).expect(0);
    assert!(calm.stdout.contains("2 stable") && !calm.stdout.contains("number"), "{}", calm.stdout);
    for n in 17..=18 {
        day(&project, n, 1.2, &["a", "b", "c", "new"]);
    }
    let found = project.daymill(&["drift", "j", "--output", "json"]).expect(0).json();
    let column = |at: usize| found["drift"][0]["columns"][at].clone();
    for at in 0..2 {
        assert_eq!(
            (column(at)["standing"].as_str(), column(at)["since"].as_str()),
            (Some("drifting"), Some("2024-01-17"))
        );
    }
    let amount = [column(0), column(1)].into_iter().find(|column| column["column"] == "amount").unwrap();
    assert!((amount["mean_shift"].as_f64().unwrap() - 1.2 / 2.86).abs() < 0.01, "{amount}");
    assert!((amount["missing"].as_f64().unwrap() - 20.0 / 1009.0).abs() < 1e-9, "{amount}");
    let kind = [column(0), column(1)].into_iter().find(|column| column["column"] == "kind").unwrap();
    assert!((0.1..0.5).contains(&kind["unseen"].as_f64().unwrap()), "{kind}");
    // The day before it was one day's movement, and the one before that nothing.
    let moved = project.daymill(&["drift", "j", "--date", "2024-01-17"]).expect(0).stdout;
    assert!(moved.contains("2 moved"), "{moved}");
    project.daymill(&["drift", "j", "--date", "2024-01-16", "--fail-on", "moved"]).expect(0);
    let failed = project.daymill(&["drift", "j", "--date", "2024-01-17", "--fail-on", "moved"]).expect(65);
    failed.says("j 2024-01-17: 2 columns moved: amount, kind");
    project.daymill(&["drift", "j", "--date", "2024-01-17", "--fail-on", "drifting"]).expect(0);
    // Long after it is still drift, beside days that stand.
    for n in 19..=31 {
        day(&project, n, 1.2, &["a", "b", "c", "new"]);
    }
    let stands = ["drift", "j", "--against", "2024-01-01..2024-01-10", "--output", "json"];
    let stands = project.daymill(&stands).expect(0).json();
    let first = &stands["drift"][0]["columns"][0];
    assert_eq!(
        (first["standing"].as_str(), first["since"].as_str()),
        (Some("drifting"), Some("2024-01-17")),
        "{stands}"
    );
    // Beside days of the same kind nothing has moved; of one column only that one is shown.
    let beside = ["drift", "j", "--against", "2024-01-17..2024-01-18", "--column", "amount"];
    let beside = project.daymill(&beside).expect(0).stdout;
    assert!(beside.contains("1 stable") && !beside.contains("kind"), "{beside}");
}

#[test]
fn what_cannot_be_compared_is_said() {
    let project = project();
    project.daymill(&["drift", "j"]).expect(2).says("has profiles");
    project.daymill(&["profile", "j"]).expect(2).says("every run that publishes makes them");
    for n in DAY..=3 {
        day(&project, n, 0.0, &KINDS);
    }
    project.daymill(&["drift", "j"]).expect(2).says("2 intervals are published before 2024-01-03 with profiles, and 5");
    project.daymill(&["drift", "j", "--against", "model"]).expect(66).says("has no reference.json");
    project.daymill(&["drift", "j", "--against", "last 3"]).expect(2).says("from 5 to 1000 intervals");
    project.daymill(&["drift", "j", "--against", "yore"]).expect(2).says("is nothing to compare with");
    project.daymill(&["drift", "j", "--date", "2024-01-09"]).expect(2).says("j 2024-01-09 has no profiles");
    project.daymill(&["drift", "j", "--against", "2023-01-01..2023-01-31"]).expect(2).says("has profiles");
    project.daymill(&["drift", "j", "--column", "amounts"]).expect(2).says("of a column \"amounts\"");
    project.edit("jobs/j.toml", "[drift]\n", "[drift]\nreference = \"last\"\n");
    project.daymill(&["drift", "j"]).expect(78).says("jobs/j.toml:16: \"last\" is nothing to compare with");
}

#[test]
fn profiles_stand_and_fall_with_the_rows() {
    let project = project();
    day(&project, 1, 0.0, &KINDS);
    let profile = |column: &str| {
        let value = project.daymill(&["profile", "j", "--column", column, "--output", "json"]).expect(0).json();
        value["columns"][0].clone()
    };
    let amount = profile("amount");
    assert_eq!((amount["rows"].as_u64(), amount["nulls"].as_u64()), (Some(1009), Some(20)));
    assert_eq!((amount["min"].as_f64(), amount["max"].as_f64()), (Some(0.2), Some(10.08)));
    assert!((amount["mean"].as_f64().unwrap() - 5.14).abs() < 1e-9, "{amount}");
    assert_eq!(profile("kind")["distinct"], 3);
    // A run that fails leaves them; one that replaces the rows replaces them.
    project.write("in/2024-01-01.jsonl", "{\"id\": 1, \"amount\": 5, \"kind\": \"z\"}\n");
    project.failing("before-commit=panic(stopped)", &["run", "j", "--date", "2024-01-01"]).expect(70);
    assert_eq!(profile("amount"), amount);
    project.daymill(&["run", "j", "--date", "2024-01-01"]).expect(0);
    assert_eq!((profile("amount")["rows"].as_u64(), profile("amount")["max"].as_f64()), (Some(1), Some(5.0)));
    // They are a part of what the ledger vouches for.
    project.daymill(&["ledger", "verify"]).expect(0);
    let whole = std::fs::read(project.path("w.sqlite")).unwrap();
    for (sql, code) in [
        ("UPDATE daymill_profiles SET mean = 6 WHERE column_name = 'amount'", 0),
        ("UPDATE daymill_profiles SET distribution = replace(distribution, '\"z\",1', '\"y\",1')", 0),
        ("DELETE FROM daymill_profiles WHERE column_name = 'kind'", 0),
        ("UPDATE daymill_profiles SET nulls = 2 WHERE column_name = 'amount'", 65),
        ("UPDATE daymill_profiles SET distribution = '{}' WHERE column_name = 'amount'", 65),
        ("UPDATE daymill_profiles SET side = 'x', mean = 'text'", 65),
    ] {
        std::fs::write(project.path("w.sqlite"), &whole).unwrap();
        execute_sqlite(&project.path("w.sqlite"), sql);
        project.daymill(&["ledger", "verify"]).expect(65).says("do not agree on the profiles");
        project.daymill(&["profile", "j"]).expect(code);
    }
}

#[test]
fn a_model_has_a_reference_of_the_rows_it_was_trained_on() {
    let project = Project::flights();
    project.own_fixtures();
    let run = |day: &str| project.daymill(&["run", "flight_delay", "--date", day]).expect(0);
    run("2013-06-03");
    project.daymill(&["extract", "flight_delay", "--date", "2013-06-04"]).expect(0);
    project.daymill(&["transform", "flight_delay", "--date", "2013-06-04", "--out", "rows.parquet"]).expect(0);
    let model = "fixtures/models/flight_delay/3";
    let before = project.daymill(&["status", "flight_delay", "--output", "json"]).expect(0).json();
    let made = project.daymill(&["models", "reference", model, "--from", "rows.parquet"]).expect(0).stdout;
    assert!(made.contains("flight_delay@3: 25 columns of 9"), "{made}");
    // It changes nothing of what was published.
    assert_eq!(project.daymill(&["status", "flight_delay", "--output", "json"]).expect(0).json(), before);
    let found = project.daymill(&["drift", "flight_delay", "--output", "json"]).expect(0).json();
    let drift = &found["drift"][0];
    assert!(drift["baseline"].as_str().unwrap().contains("rows that flight_delay@3 was trained on"), "{drift}");
    let columns = drift["columns"].as_array().unwrap();
    assert_eq!(columns.len(), 25);
    let of = |name: &str| columns.iter().find(|column| column["column"] == name).unwrap();
    assert!(of("distance")["ks"].as_f64().unwrap() < 0.1 && of("day_of_month")["ks"] == 1.0);
    assert!(of("p_late")["baseline_n"].as_u64().unwrap() > 900, "the score has its own name: {}", of("p_late"));
    // What is not as it was written is refused.
    let path = format!("{model}/reference.json");
    let text = std::fs::read_to_string(project.path(&path)).unwrap();
    for (broken, says) in [
        (text.replacen("\"nulls\":0", "\"nulls\":7", 1), "does not add up"),
        (text.replacen("\"weights\":\"", "\"weights\":\"0", 1), "belongs to other weights"),
        (text[..text.len() / 2].to_owned(), "is not what Daymill wrote"),
        (String::new(), "is not what Daymill wrote"),
    ] {
        project.write(&path, broken);
        project.daymill(&["drift", "flight_delay"]).expect(66).says(says);
    }
    project.daymill(&["models", "reference", model, "--from", "fixtures/planes.parquet"]).expect(66).says("is missing");
    project.daymill(&["models", "reference", model, "--from", "nowhere.parquet"]).expect(66);
}
