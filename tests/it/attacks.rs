//! Attacks and accidents: data that speak, other projects, links, pipes and false claims.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::*;

pub const WAREHOUSE: &str = ".daymill/warehouse.sqlite";
const DAYS: [&str; 5] = ["backfill", "carrier_daily", "--from", "2013-06-01", "--to"];

/// Three published days of the job without a model.
pub fn published() -> Project {
    let project = Project::flights();
    project.daymill(&[&DAYS[..], &["2013-06-03"]].concat()).expect(0);
    project
}

#[test]
fn data_write_no_line_and_no_colour_of_their_own() {
    let forged = "x\n2026-11-24T23:50:00Z carrier_daily 2013-06-01 succeeded: 15 rows in 39 ms\u{10F0F0}31;1\u{10F0F1}\u{9b}31m\u{202e}\u{1b}[2J{\"level\":\"info\"}";
    let project = Project::empty();
    project.write("daymill.toml", "[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n");
    project.write("sql/t.sql", "SELECT text AS id FROM a UNION ALL SELECT text FROM a");
    project.write(
        "jobs/j.toml",
        "timezone = \"UTC\"\nkey = [\"id\"]\n[extract.a]\nparquet = \"a.parquet\"\nsnapshot = true\n[transform]\nsql = \"sql/t.sql\"\n[load]\ntable = \"out\"\n",
    );
    let batch = arrow::array::RecordBatch::try_from_iter([(
        "text",
        std::sync::Arc::new(arrow::array::StringArray::from(vec![forged])) as arrow::array::ArrayRef,
    )]);
    let batch = batch.unwrap();
    let file = std::fs::File::create(project.path("a.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let run = ["run", "j", "--date", "2013-06-01"];
    let told = project.daymill(&run).expect(65);
    assert!(told.stderr.contains("x\\n2026-11-24T23:50:00Z"), "{}", told.stderr);
    let quiet =
        |text: &str| text.chars().all(|c| c == '\n' || !(c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)));
    assert!(
        quiet(&told.stderr) && !told.stderr.lines().any(|line| line.starts_with("2026-11-24")),
        "{:?}",
        told.stderr
    );
    for command in [&["status", "j"][..], &["runs"], &["show", "latest"]] {
        let shown = project.daymill(command);
        assert!(quiet(&shown.stdout) && quiet(&shown.stderr), "{:?} {:?}", shown.stdout, shown.stderr);
        assert!(!shown.stdout.lines().any(|line| line.starts_with("2026-11-24")));
    }
    let logged = project.daymill(&[&["--log-format", "json"], &run[..], &["--output", "json"]].concat());
    for line in logged.stderr.lines().chain(logged.stdout.lines()) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(value.get("level").is_none_or(|level| level != "info" || value.get("message").is_some()), "{line}");
    }
    assert!(quiet(&logged.stdout) && !logged.stdout.contains('\u{7f}'), "{}", logged.stdout);
    assert!(logged.stderr.lines().last().unwrap().contains("\"level\":\"error\""), "{}", logged.stderr);
}

#[test]
fn two_projects_in_one_warehouse_refuse_each_other() {
    let (one, two) = (published(), Project::flights());
    two.edit("daymill.toml", "daymill-demo", "another");
    two.edit("daymill.toml", ".daymill/warehouse.sqlite", &one.path(WAREHOUSE).display().to_string());
    two.edit("jobs/carrier_daily.toml", "table = \"carrier_daily\"", "table = \"carrier_daily_2\"");
    for command in [
        &["run", "carrier_daily", "--date", "2013-06-05"][..],
        &[&DAYS[..], &["2013-06-03"]].concat(),
        &["plan", "carrier_daily"],
        &["status", "carrier_daily"],
    ] {
        two.daymill(command)
            .expect(78)
            .says("belongs to another project, \"daymill-demo\"")
            .says("write id = \"daymill-demo\"");
    }
    two.edit("daymill.toml", "id = \"another\"", "#");
    two.daymill(&["run", "carrier_daily", "--date", "2013-06-05"]).expect(78).says("has no id");
    one.daymill(&["run", "carrier_daily", "--date", "2013-06-04"]).expect(0);
    // A job from before there were ids gets one.
    let old = published();
    old.tamper("UPDATE daymill_jobs SET project = ''");
    old.daymill(&["run", "carrier_daily", "--date", "2013-06-04"]).expect(0);
    assert_eq!(old.sqlite("SELECT project FROM daymill_jobs"), ["daymill-demo"]);
}

#[test]
fn rows_that_are_gone_are_missing() {
    for (sql, left) in [
        ("DROP TABLE carrier_daily", 3),
        ("DELETE FROM carrier_daily", 3),
        ("DELETE FROM carrier_daily WHERE interval_start LIKE '2013-06-02%'", 1),
    ] {
        let project = published();
        project.tamper(sql);
        let range = ["--from", "2013-06-01", "--to", "2013-06-03"];
        let status =
            project.daymill(&[&["status", "carrier_daily", "--output", "json"], &range[..]].concat()).expect(0).json();
        assert_eq!(status["counts"]["missing"], left, "{sql}: {status}");
        let shown = project.daymill(&[&["status", "carrier_daily"], &range[..]].concat()).expect(0);
        assert!(shown.stdout.contains("its rows are gone from the table"), "{}", shown.stdout);
        if sql.starts_with("DROP") {
            project
                .daymill(&["run", "carrier_daily", "--date", "2013-06-01"])
                .expect(0)
                .says("the rows of 2 other intervals are missing");
        }
        project.daymill(&[&DAYS[..], &["2013-06-03"]].concat()).expect(0);
        project.daymill(&["ledger", "verify", "--rows", "carrier_daily"]).expect(0);
    }
}

#[test]
fn a_signal_ends_a_run_within_ten_seconds_whatever_blocks_it() {
    let project = Project::flights();
    let child = project.start("after-lock=sleep(60000)", &["run", "carrier_daily", "--date", "2013-06-01"]);
    std::thread::sleep(Duration::from_secs(1));
    let at = Instant::now();
    signal(&child, "TERM");
    let ended = finish(child);
    assert!(at.elapsed() < Duration::from_secs(10), "{:?}", at.elapsed());
    ended.expect(143).says("something did not answer");
}

#[test]
fn an_interrupted_backfill_says_how_it_goes_on() {
    let project = Project::flights();
    let child = project.start("batch-loaded=sleep(1500)", &[&DAYS[..], &["2013-06-08", "--only", "all"]].concat());
    std::thread::sleep(Duration::from_millis(2500));
    signal(&child, "INT");
    let ended = finish(child)
        .expect(130)
        .says("was stopped:")
        .says("intervals are done and stay")
        .says("go on with: daymill retry ");
    assert!(
        !ended.stderr.lines().any(|line| line.starts_with("error") && line.contains("nothing")),
        "{}",
        ended.stderr
    );
    let id = ended.stderr.split("daymill retry ").nth(1).unwrap().trim().to_owned();
    project.daymill(&["retry", &id]).expect(0);
    let status =
        project.daymill(&["status", "carrier_daily", "--output", "json", "--from", "2013-06-01", "--to", "2013-06-08"]);
    assert_eq!(status.expect(0).json()["counts"]["done"], 8);
}

#[test]
fn a_lock_goes_by_the_file_follows_no_link_and_is_nobody_else_s() {
    let project = published();
    let locks = project.path(&format!("{WAREHOUSE}.locks"));
    assert_eq!(std::fs::metadata(&locks).unwrap().permissions().mode() & 0o777, 0o700);
    let lock = std::fs::read_dir(&locks).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o600);
    // By another name of the file the interval is locked all the same.
    let other = Project::flights();
    symlink(project.path(WAREHOUSE), other.path("link.sqlite")).unwrap();
    other.edit("daymill.toml", WAREHOUSE, "link.sqlite");
    let child = project.start("after-lock=sleep(3000)", &["run", "carrier_daily", "--date", "2013-06-01"]);
    std::thread::sleep(Duration::from_secs(1));
    other.daymill(&["run", "carrier_daily", "--date", "2013-06-01"]).expect(75);
    finish(child).expect(0);
    let victim = project.path("victim");
    std::fs::write(&victim, "untouched").unwrap();
    for entry in std::fs::read_dir(&locks).unwrap() {
        let path = entry.unwrap().path();
        std::fs::remove_file(&path).unwrap();
        symlink(&victim, &path).unwrap();
    }
    let refused = project.daymill(&["run", "carrier_daily", "--date", "2013-06-01"]);
    assert!([74, 78].contains(&refused.code), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    std::fs::hard_link(project.path(WAREHOUSE), project.path("hard.sqlite")).unwrap();
    project.daymill(&["run", "carrier_daily", "--date", "2013-06-02"]).expect(78).says("several names (hard links)");
}

#[test]
fn after_a_run_the_file_alone_is_whole_and_others_can_read_it() {
    let project = Project::flights();
    project.daymill(&["run", "carrier_daily", "--date", "2013-06-01"]).expect(0);
    let copy = project.path("copy.sqlite");
    std::fs::copy(project.path(WAREHOUSE), &copy).unwrap();
    assert!(!rows_of(&copy, "SELECT carrier FROM carrier_daily").is_empty());
    // Another user may not reach the folder where the program was built.
    let program = project.path("daymill");
    std::fs::copy(env!("CARGO_BIN_EXE_daymill"), &program).unwrap();
    for (path, mode) in
        [(project.folder.path().to_owned(), 0o755), (program.clone(), 0o755), (project.path(".daymill"), 0o555)]
    {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    for command in [
        &["status", "carrier_daily"][..],
        &["runs"],
        &["show", "latest"],
        &["plan", "carrier_daily"],
        &["ledger", "verify"],
    ] {
        let mut reader = project.command_of(&program, command);
        // Permissions mean nothing to root.
        if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            reader.uid(65534).gid(65534);
        }
        let read = outcome(reader.output().unwrap());
        assert_eq!(read.code, 0, "{command:?}: {}", read.stderr);
    }
}

#[test]
fn reserved_names_are_refused() {
    for (schema, code) in [("pg_temp", 78), ("information_schema", 78), ("daymill", 78), ("PG_toast", 78)] {
        let project = Project::flights();
        project.edit("daymill.toml", "\"public\"", &format!("{schema:?}"));
        project
            .daymill(&["check", "carrier_daily", "--offline"])
            .expect(code)
            .says("is one of the server's own or of the ledger");
    }
    for (table, says) in
        [("daymill_staging", "begins as names of Daymill"), ("sqlite_x", "begins as names"), ("{runs}", "has a brace")]
    {
        let project = Project::flights();
        project.edit("jobs/carrier_daily.toml", "table = \"carrier_daily\"", &format!("table = {table:?}"));
        project.daymill(&["run", "carrier_daily", "--date", "2013-06-01"]).expect(78).says(says);
    }
    let project = Project::flights();
    project.edit("sql/carrier_daily/summary.sql", "AS flights", "AS run_id");
    let refused = project.daymill(&["run", "carrier_daily", "--date", "2013-06-01"]).expect(78);
    refused.says("the column \"run_id\" is one that Daymill adds itself");
    let project = Project::flights();
    project.edit("sql/carrier_daily/summary.sql", "AS flights", "AS \"{chain}\"");
    let refused = project.daymill(&["run", "carrier_daily", "--date", "2013-06-01"]);
    assert!([65, 78].contains(&refused.code), "{}", refused.stderr);
}

#[test]
fn tables_whose_names_begin_alike_have_an_index_each() {
    let project = Project::flights();
    let long = "a_table_whose_name_is_so_long_that_fifty_letters_are_the_same";
    for end in ["1", "2"] {
        let job = std::fs::read_to_string(project.path("jobs/carrier_daily.toml")).unwrap();
        project.write(
            &format!("jobs/j{end}.toml"),
            job.replace("table = \"carrier_daily\"", &format!("table = \"{long}{end}\"")),
        );
        project.daymill(&["run", &format!("j{end}"), "--date", "2013-06-01"]).expect(0);
        let sql = format!("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = '{long}{end}'");
        assert_eq!(project.sqlite(&sql).len(), 1);
    }
}

#[test]
fn a_changed_time_zone_overlaps_and_advises_nothing_that_fails() {
    let project = published();
    project.edit("jobs/carrier_daily.toml", "America/New_York", "Europe/Berlin");
    let range = ["--from", "2013-06-01", "--to", "2013-06-03"];
    let status = project.daymill(&[&["status", "carrier_daily"], &range[..]].concat()).expect(0);
    assert!(status.stdout.contains("overlaps") && !status.stdout.contains("fill the gaps"), "{}", status.stdout);
    let plan = project.daymill(&[&["plan", "carrier_daily", "--output", "json"], &range[..]].concat()).expect(0).json();
    assert!(plan["intervals"].as_array().unwrap().iter().all(|item| item["action"] == "keep"), "{plan}");
    project.daymill(&["run", "carrier_daily", "--date", "2013-06-02"]).expect(78).says("2013-06-02 overlaps 2013-06-0");
}

#[test]
fn the_order_of_runs_is_the_ledger_s() {
    let project = published();
    project.tamper("UPDATE daymill_runs SET run_id = 'ffffffff-ffff-7fff-bfff-ffffffffffff' WHERE seq = 1");
    let runs = project.daymill(&["runs", "--output", "json"]).expect(0).json();
    let last = runs.as_array().unwrap().last().unwrap()["run_id"].as_str().unwrap().to_owned();
    assert_eq!(last, "ffffffff-ffff-7fff-bfff-ffffffffffff");
}

#[test]
fn pipes_and_devices_are_refused_at_once() {
    let project = Project::flights();
    project.own_fixtures();
    let pipe = project.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    let at = Instant::now();
    for special in [pipe, "/dev/zero"] {
        project.daymill(&["models", "import", special, "-o", "m/x/1"]).expect(66).says("is not a regular file");
        project.daymill(&["apply", special]).expect(66).says("is not a regular file");
        project
            .daymill(&["score", "--model", "fixtures/models/flight_delay/3", "--in", special, "--out", "o.parquet"])
            .expect(66);
    }
    for (name, code) in [
        ("sql/carrier_daily/summary.sql", 78),
        ("jobs/carrier_daily.toml", 78),
        ("fixtures/flights/flight_date=2013-06-01/part-0.parquet", 66),
    ] {
        let kept = std::fs::read(project.path(name)).unwrap();
        std::fs::remove_file(project.path(name)).unwrap();
        assert!(Command::new("mkfifo").arg(project.path(name)).status().unwrap().success());
        let refused = project.daymill(&["run", "carrier_daily", "--date", "2013-06-01"]);
        assert!([code, 78].contains(&refused.code), "{name}: {}", refused.stderr);
        std::fs::remove_file(project.path(name)).unwrap();
        std::fs::write(project.path(name), kept).unwrap();
    }
    assert!(at.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_scored_file_is_what_its_name_says() {
    let project = Project::flights();
    let score = |out: &str| {
        let input = repository().join("fixtures/models/flight_delay/3/oracle.parquet");
        project.daymill(&[
            "score",
            "--model",
            "fixtures/models/flight_delay/3",
            "--in",
            input.to_str().unwrap(),
            "--out",
            out,
        ])
    };
    score("s.csv").expect(0);
    let text = std::fs::read_to_string(project.path("s.csv")).unwrap();
    assert!(text.starts_with("score\n0."), "{}", &text[..40]);
    score("s.parquet").expect(0);
    assert!(std::fs::read(project.path("s.parquet")).unwrap().starts_with(b"PAR1"));
    score("s.xlsx").expect(2).says("name it .parquet or .csv");
    assert!(!project.path("s.xlsx").exists());
}

#[test]
fn who_only_looks_at_a_lock_keeps_no_run_away() {
    let project = published();
    let locks = project.path(&format!("{WAREHOUSE}.locks"));
    let looked: Vec<std::fs::File> =
        std::fs::read_dir(&locks).unwrap().map(|entry| std::fs::File::open(entry.unwrap().path()).unwrap()).collect();
    looked.iter().for_each(|lock| lock.lock_shared().unwrap());
    let child = project.start("", &["run", "carrier_daily", "--date", "2013-06-02"]);
    let open = format!("/proc/{}/fd", child.id());
    until("the lock is asked for", || {
        let links = std::fs::read_dir(&open).into_iter().flatten().flatten();
        links.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|target| target.starts_with(&locks))
    });
    drop(looked);
    finish(child).expect(0);
}

#[test]
fn a_small_stack_and_an_odd_path_are_no_reason_to_crash_or_to_mislead() {
    let project = published();
    let program = env!("CARGO_BIN_EXE_daymill");
    let small = Command::new("bash")
        .args(["-c", &format!("ulimit -s 200; exec {program} run carrier_daily --date 2013-06-02")])
        .current_dir(project.folder.path())
        .output()
        .unwrap();
    outcome(small).expect(0);
    let none = published().env("POLARS_MAX_THREADS", "0");
    none.daymill(&["run", "carrier_daily", "--date", "2013-06-01"]).expect(78).says("POLARS_MAX_THREADS is \"0\"");
    use std::os::unix::ffi::OsStrExt;
    let odd = project.path("x").parent().unwrap().join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    std::fs::create_dir(&odd).unwrap();
    for part in ["daymill.toml", "jobs", "sql", "fixtures"] {
        symlink(project.path(part), odd.join(part)).unwrap();
    }
    let told =
        outcome(project.command(&["run", "carrier_daily", "--date", "2013-06-01"]).current_dir(&odd).output().unwrap());
    assert!(!told.stderr.contains("TLS") && told.stderr.contains("UTF-8"), "{}", told.stderr);
    assert_eq!(told.code, 78, "{}", told.stderr);
}

#[test]
fn the_rest_of_a_password_is_not_told() {
    let project = Project::flights().env("DAYMILL_OPS_URL", "postgres://app:5432?RestOfIt=x@host/db");
    let told = project.daymill(&["check", "flight_delay", "--target", "prod"]).expect(78);
    assert!(!format!("{}{}", told.stdout, told.stderr).contains("RestOfIt"), "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("has an unknown parameter"), "{}", told.stdout);
}

#[test]
fn a_graph_that_claims_or_holds_too_much_or_nothing_is_refused() {
    let project = Project::empty();
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length >= 128 {
            out.push(length as u8 | 128);
            length >>= 7;
        }
        out.push(length as u8);
        [&out, bytes].concat()
    };
    // y = op(x), as a model of the version 8.
    let model = |nodes: &[u8], columns: &[u8]| {
        let dims = [field(1, &[0x08, 0]), field(1, &[&[0x08], columns].concat())].concat();
        let tensor = [vec![0x08, 1], field(2, &dims)].concat();
        let input = [field(1, b"x"), field(2, &field(1, &tensor))].concat();
        let graph = [nodes.to_vec(), field(11, &input), field(12, &field(1, b"y"))].concat();
        [vec![0x08, 8], field(7, &graph)].concat()
    };
    let node = |op: &[u8]| field(1, &[field(1, b"x"), field(2, b"y"), field(4, op)].concat());
    for (bytes, says) in [
        (model(&node(b"Abs").repeat(20_000), &[2]), "the graph has 20000 nodes"),
        (model(&node(b"Abs"), &[0xf0, 0xa2, 0x04]), "has the shape [0, 70000]"),
        (model(&node(b"TreeEnsembleRegressor"), &[2]), "TreeEnsembleRegressor"),
        (model(&node(b"TreeEnsemble"), &[2]), "TreeEnsemble"),
        (model(&node(b"Abs").repeat(2), &[2]), ""),
    ] {
        project.write("m.onnx", bytes);
        let _ = std::fs::remove_dir_all(project.path("m"));
        let imported = project.daymill(&["models", "import", "m.onnx", "-o", "m/1"]);
        let fine = imported.code == 66 || (says.is_empty() && imported.code == 0);
        assert!(fine && imported.stderr.contains(says), "{says}: {} {}", imported.code, imported.stderr);
    }
}

#[test]
fn a_look_at_a_few_days_reads_only_these() {
    let project = published();
    project.tamper(
        "UPDATE daymill_intervals SET interval_start = '9999', interval_end = 'never' WHERE label = '2013-06-03'",
    );
    project.daymill(&["status", "carrier_daily", "--from", "2013-06-01", "--to", "2013-06-01"]).expect(0);
    project.daymill(&["plan", "carrier_daily", "--from", "2013-06-01", "--to", "2013-06-02"]).expect(0);
    project.daymill(&["ledger", "verify", "--rows", "carrier_daily"]).expect(65);
}
