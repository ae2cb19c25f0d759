//! Hostile data and hostile hands: damaged files, values that are no numbers, names that are SQL, secrets in every place,
//! a ledger that was edited.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use daymill::models::Bundle;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use polars::prelude::{Engine, LazyFrame, PlRefPath, ScanArgsParquet};

use super::scene::*;
use super::{Random, full, seed};
use crate::support::*;

/// Reads a file as a run does: the footer, the hash, then every row. An error is fine; a panic that a run would not
/// catch is not, nor is a crash of this process.
fn read(path: &std::path::Path) -> bool {
    use daymill::extract::Cache;
    use daymill::extract::files::format::Column;
    use daymill::extract::files::formats;
    use daymill::extract::files::reading::Room;
    use daymill::project::job::FileFormat;
    use daymill::rows::ColumnType::{Float, Int, Text};
    let cache = Cache::default();
    let Ok(file) = formats::of(&FileFormat::Parquet).open(path, &[], &Room::of(0), &cache) else { return false };
    let column = |name: &str, kind| Column { name: name.into(), kind, zone: None, uuid: false, format: None };
    let columns = [column("id", Int), column("name", Text), column("v", Float)];
    let decoded = file.rows(&columns, true, &cache);
    let scan = || {
        let frame = LazyFrame::scan_parquet(PlRefPath::new(path.to_str().unwrap()), ScanArgsParquet::default())?;
        frame.collect_with_engine(Engine::Streaming)
    };
    // A large file goes to the engine, behind the same guard.
    let _ = catch_unwind(AssertUnwindSafe(scan));
    decoded.is_ok()
}

#[test]
fn f50_damaged_parquet_is_an_error_and_never_a_crash() {
    let scene = Scene::bare(None, 1);
    let path = scene.project.path(&format!("data/{}.parquet", date(0)));
    let good = std::fs::read(&path).unwrap();
    assert!(read(&path));
    let mut random = Random(seed());
    let footer = good.len() - 8 - u32::from_le_bytes(good[good.len() - 8..good.len() - 4].try_into().unwrap()) as usize;
    let offsets = if full() { 10_000 } else { 300 };
    let step = if full() { 1 } else { 5 };
    let mut mutations: Vec<Vec<u8>> = Vec::new();
    let flip = |at: usize, bit: u64| {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (bit % 8);
        bytes
    };
    mutations.extend((footer..good.len()).step_by(step).map(|at| flip(at, random.next())));
    mutations.extend((0..offsets).map(|_| flip(random.below(good.len() as u64) as usize, random.next())));
    mutations.extend((0..good.len()).step_by(if full() { 1 } else { 41 }).map(|n| good[..n].to_vec()));
    let (mut refused, all) = (0, mutations.len());
    let hook = std::panic::take_hook();
    if std::env::var("DAYMILL_LOUD").is_err() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    for bytes in &mutations {
        std::fs::write(&path, bytes).unwrap();
        refused += u64::from(!read(&path));
    }
    std::panic::set_hook(hook);
    eprintln!("{all} damaged Parquet files, {refused} refused, 0 crashes");
    assert!(refused > 0);
    // The program says the same with its exit code.
    for _ in 0..if full() { 100 } else { 12 } {
        std::fs::write(&path, &mutations[random.below(all as u64) as usize]).unwrap();
        let ended = scene.project.daymill(&["run", "tally", "--date", &date(0)]);
        assert!([0, 65, 66].contains(&ended.code), "exit {}\n{}", ended.code, ended.stderr);
    }
    std::fs::write(&path, &good).unwrap();
    scene.project.daymill(&["run", "tally", "--date", &date(0)]).expect(0);
}

/// A copy of a bundle whose weights are `bytes`, with a hash that agrees.
fn bundle_with(folder: &std::path::Path, weights: &str, bytes: &[u8]) -> daymill::error::Result<Bundle> {
    let signature = std::fs::read_to_string(folder.join("model.toml")).unwrap();
    let before = signature.lines().find(|l| l.starts_with("sha256")).unwrap().to_owned();
    let after = format!("sha256 = \"{}\"", daymill::digest::hex(bytes));
    std::fs::write(folder.join(weights), bytes).unwrap();
    std::fs::write(folder.join("model.toml"), signature.replacen(&before, &after, 1)).unwrap();
    Bundle::open(folder)
}

#[test]
fn f53_damaged_safetensors_are_66_and_never_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let source = repository().join("fixtures/models/flight_delay/2");
    for name in ["model.toml", "model.safetensors", "oracle.parquet"] {
        std::fs::copy(source.join(name), folder.path().join(name)).unwrap();
    }
    let good = std::fs::read(source.join("model.safetensors")).unwrap();
    assert!(bundle_with(folder.path(), "model.safetensors", &good).is_ok());
    let header = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let with_header =
        |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &good[8 + header..]].concat();
    let json = std::str::from_utf8(&good[8..8 + header]).unwrap();
    let first = json.split('"').nth(1).unwrap();
    let mut mutations: Vec<Vec<u8>> = (0..9).map(|n| good[..n].to_vec()).collect();
    mutations.push([&u64::MAX.to_le_bytes()[..], &good[8..]].concat());
    mutations.push([&(1u64 << 40).to_le_bytes()[..], &good[8..]].concat());
    mutations.push([&good[..], &[0; 16]].concat());
    mutations.push(with_header(&json.replace("F32", "F64")));
    mutations.push(with_header(&json.replacen(first, "another_name", 1)));
    mutations.push(with_header(
        &(0..100_000)
            .fold("{".to_owned(), |t, i| {
                t + &format!("\"t{i}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}},")
            })
            .trim_end_matches(',')
            .to_owned()
            .add("}"),
    ));
    // Two tensors of one name: the last would win.
    let twice = json.trim_end().trim_end_matches('}');
    mutations.push(with_header(&format!("{twice}}},{}", &json.trim_start()[1..])));
    let nan = {
        let mut bytes = good.clone();
        bytes[8 + header..8 + header + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        bytes
    };
    mutations.push(nan);
    let mut random = Random(seed());
    mutations.extend((0..if full() { 2000 } else { 60 }).map(|_| {
        let mut bytes = good.clone();
        bytes[random.below(8 + header as u64) as usize] ^= 1 << random.below(8);
        bytes
    }));
    mutations.extend((0..good.len()).step_by(good.len() / if full() { 500 } else { 40 }).map(|n| good[..n].to_vec()));
    let mut refused = 0;
    for (i, bytes) in mutations.iter().enumerate() {
        match bundle_with(folder.path(), "model.safetensors", bytes) {
            Err(error) => {
                assert_eq!(error.class.exit_code(), 66, "mutation {i}: {error}");
                refused += 1;
            }
            // A flipped bit in a name that nobody reads, or in white space.
            Ok(_) => assert!(i > 17, "mutation {i} was taken"),
        }
    }
    eprintln!("{} damaged safetensors, {refused} refused with 66, 0 crashes", mutations.len());
}

trait Add {
    fn add(self, tail: &str) -> String;
}

impl Add for String {
    fn add(mut self, tail: &str) -> String {
        self.push_str(tail);
        self
    }
}

/// The oracle's inputs of a bundle.
fn inputs(folder: &std::path::Path) -> RecordBatch {
    let file = std::fs::File::open(folder.join("oracle.parquet")).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap()
}

#[test]
fn f57_no_value_that_is_not_a_number_becomes_a_score_unseen() {
    for version in ["1", "2", "3"] {
        let folder = repository().join(format!("fixtures/models/flight_delay/{version}"));
        let bundle = Bundle::open(&folder).unwrap();
        let good = inputs(&folder);
        let clean = bundle.score(&good).unwrap();
        let numbers = bundle
            .contract
            .features
            .iter()
            .filter(|f| !matches!(f.kind, daymill::score::contract::Kind::Category { .. }));
        for feature in numbers {
            let index = good.schema().index_of(&feature.name).unwrap();
            let column = cast(good.column(index), &DataType::Float64).unwrap();
            for bad in [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY), Some(1e300)] {
                let column: Float64Array = column
                    .as_any()
                    .downcast_ref::<Float64Array>()
                    .unwrap()
                    .iter()
                    .enumerate()
                    .map(|(row, v)| if row == 0 { bad } else { v })
                    .collect();
                let mut columns: Vec<ArrayRef> = good.columns().to_vec();
                columns[index] = Arc::new(column);
                let fields: Vec<_> =
                    good.schema().fields().iter().zip(&columns).map(|(f, c)| (f.name().clone(), c.clone())).collect();
                let batch = RecordBatch::try_from_iter(fields).unwrap();
                let passes = bad.is_none() && feature.null == daymill::score::contract::Policy::Pass
                    || bad.is_some_and(f64::is_nan) && feature.nan == daymill::score::contract::Policy::Pass;
                match bundle.score(&batch) {
                    Err(error) => assert_eq!(error.class.exit_code(), 65, "{} = {bad:?}: {error}", feature.name),
                    Ok(scores) => {
                        let seen = scores.counts.dropped + scores.counts.imputed;
                        assert!(
                            seen > 0 || passes,
                            "model {version}: {} = {bad:?} became {} unseen",
                            feature.name,
                            scores.outputs[0][0]
                        );
                        let rows = scores.outputs[0].len();
                        let tail = clean.outputs[0].len() - 1;
                        assert_eq!(scores.outputs[0][rows - tail..], clean.outputs[0][1..], "other rows changed");
                    }
                }
            }
        }
    }
}

#[test]
fn f67_a_row_has_one_score_whatever_stands_beside_it() {
    for version in ["1", "2", "3"] {
        let folder = repository().join(format!("fixtures/models/flight_delay/{version}"));
        let bundle = Bundle::open(&folder).unwrap();
        let batch = inputs(&folder);
        let whole = bundle.score(&batch).unwrap().outputs;
        for size in [1, 7, 64] {
            for at in (0..batch.num_rows()).step_by(size) {
                let n = size.min(batch.num_rows() - at);
                let part = bundle.score(&batch.slice(at, n)).unwrap().outputs;
                for (whole, part) in whole.iter().zip(&part) {
                    let bits = |v: &[f32]| v.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&whole[at..at + n]), bits(part), "model {version}, {n} rows from {at}");
                }
            }
        }
        let repeated = arrow::compute::concat_batches(&batch.schema(), std::iter::repeat_n(&batch, 40)).unwrap();
        let many = bundle.score(&repeated).unwrap().outputs;
        assert!(many[0].chunks(batch.num_rows()).all(|part| part == whole[0]));
    }
}

#[test]
fn f68_names_that_are_sql_stay_names() {
    let table = r#"a"; DROP TABLE x;--"#;
    for scene in [Scene::bare(None, 2), Scene::bare(Some(Database::new()), 2)] {
        if let Some(database) = &scene.database {
            database.execute("CREATE TABLE x (i int); INSERT INTO x VALUES (1)");
        }
        scene.project.edit("jobs/tally.toml", "table = \"tally\"", &format!("table = '{table}'"));
        let column = r#"v'); DELETE FROM \"daymill\";--"#;
        scene
            .project
            .write("sql/tally.sql", format!("SELECT id, name, v AS \"{}\" FROM ticks", column.replace("\\\"", "`")));
        for _ in 0..2 {
            scene.project.daymill(&["run", "tally", "--date", &date(0)]).expect(0);
        }
        let count = match &scene.database {
            Some(database) => {
                assert_eq!(database.rows("SELECT i FROM x"), ["(1)"]);
                database.rows(r#"SELECT count(*) FROM "a""; DROP TABLE x;--""#)
            }
            None => scene.sqlite_rows(r#"SELECT '(' || count(*) || ')' FROM "a""; DROP TABLE x;--""#),
        };
        assert_eq!(count, ["(120)"]);
        scene.project.daymill(&["ledger", "verify", "--rows", "tally"]).expect(0);
        scene.project.edit("jobs/tally.toml", table, &"é".repeat(40));
        scene.project.daymill(&["run", "tally", "--date", &date(0)]).expect(78).says("63 bytes");
    }
    for name in ["../../etc/passwd", "a;b", "", "x\ny"] {
        let ended = Scene::bare(None, 1).project.daymill(&["run", name, "--date", &date(0)]);
        assert!([2, 78].contains(&ended.code), "{name:?}: {}", ended.code);
    }
}

#[test]
fn f71_a_secret_stands_in_no_output_and_on_no_command_line() {
    let scene = Scene::postgres();
    let url = Database::new().url;
    let clean = |what: &str, text: &str| assert!(!text.contains(SECRET), "{what}: {text}");
    let loud =
        |project: Project| project.env("RUST_LOG", "trace").env("PGPASSWORD", SECRET).env("RUST_BACKTRACE", "full");
    // Right and wrong servers, users, files and SQL, each with the secret in the configuration.
    let wrong: [(&str, &str); 4] = [
        ("", ""),
        ("127.0.0.1", "127.0.0.2"),
        ("postgres@", "nobody@"),
        ("postgres://", "postgres:///?host=nowhere&x="),
    ];
    for (from, to) in wrong {
        let mut scene = Scene::bare(None, 1);
        scene.project = loud(std::mem::replace(&mut scene.project, Project::empty()));
        let with = url.replacen("postgres@", &format!("postgres:{SECRET}@"), 1);
        let with = if from.is_empty() { with } else { with.replacen(from, to, 1) };
        scene.project.write("daymill.toml", "[connection.house]\nurl = \"${env:PLANTED_URL}\"\n[target.only]\nkind = \"postgres\"\nconnection = \"house\"\n");
        for arguments in [
            &["run", "tally", "--date", "2020-03-01"][..],
            &["check", "tally"],
            &["status"],
            &["ledger", "verify"],
            &["backfill", "tally"],
        ] {
            let ended = outcome(scene.project.command(arguments).env("PLANTED_URL", &with).output().unwrap());
            clean("stdout", &ended.stdout);
            clean("stderr", &ended.stderr);
        }
        for path in glob::glob(&scene.project.path(".daymill/**/*.json").display().to_string()).unwrap().flatten() {
            clean("a report", &std::fs::read_to_string(path).unwrap());
        }
    }
    let child = scene.project.start("after-lock=sleep(800)", &RUN);
    until("the lock", || !scene.database.as_ref().unwrap().locks().is_empty());
    clean(
        "/proc/PID/cmdline",
        &String::from_utf8_lossy(&std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap()),
    );
    let ended = finish(child).expect(0);
    scene.check(Some(&ended), Rows::New).unwrap();
    let kept = scene
        .database
        .as_ref()
        .unwrap()
        .rows("SELECT body FROM daymill.events UNION ALL SELECT report FROM daymill.runs");
    clean("the ledger", &kept.join("\n"));
}

#[test]
fn f73_escapes_and_line_ends_in_data_do_not_reach_the_terminal() {
    let scene = Scene::bare(None, 1);
    scene.project.write("sql/tally.sql", "SELECT 1 AS id, name, v FROM ticks");
    scene.project.edit("jobs/tally.toml", "key = [\"id\"]", "key = [\"name\"]");
    scene.project.write("sql/tally.sql", "SELECT 'red \x1b[31m text\nand a line' AS name, id, v FROM ticks");
    let ended = scene.project.daymill(&["run", "tally", "--date", &date(0)]).expect(65);
    assert!(!ended.stderr.contains('\x1b'), "{:?}", ended.stderr);
}

#[test]
fn f74_a_ledger_that_was_edited_names_the_first_bad_record() {
    let damages: [(&str, &str); 6] = [
        (
            "UPDATE LEDGER_events SET body = replace(body, '\"rows\":120', '\"rows\":121') WHERE n = 4",
            "record 4 is not what was written",
        ),
        ("DELETE FROM LEDGER_events WHERE n = 3", "record 3 is missing"),
        ("DELETE FROM LEDGER_events WHERE n > 4", "records after 4 are missing"),
        ("UPDATE LEDGER_intervals SET rows_published = 7", "do not agree on the number of rows"),
        ("UPDATE LEDGER_intervals SET content_hash = 'x'", "do not agree on the rows' hash"),
        ("DELETE FROM LEDGER_intervals", "are not in the ledger any more"),
    ];
    for (damage, says) in damages {
        for scene in [Scene::bare(None, 3), Scene::bare(Some(Database::new()), 3)] {
            scene.project.daymill(&["backfill", "tally"]).expect(0);
            let head = scene.project.daymill(&["ledger", "head"]).expect(0).stdout.trim().to_owned();
            scene.project.daymill(&["ledger", "verify", "--head", &head]).expect(0);
            scene.execute(damage);
            scene.project.daymill(&["ledger", "verify"]).expect(65).says(says);
        }
    }
    // The tail cut off and the head set back: only a head written down elsewhere tells.
    let scene = Scene::bare(None, 3);
    scene.project.daymill(&["backfill", "tally"]).expect(0);
    let head = scene.project.daymill(&["ledger", "head"]).expect(0).stdout.trim().to_owned();
    scene.execute("DELETE FROM LEDGER_events WHERE n > 4");
    scene.execute("UPDATE LEDGER_chain SET n = 4, hash = (SELECT hash FROM LEDGER_events WHERE n = 4)");
    scene.execute("DELETE FROM LEDGER_intervals WHERE label = '2020-03-03'");
    scene.project.daymill(&["ledger", "verify"]).expect(65).says("the chain has never heard of it");
    scene.execute("DELETE FROM LEDGER_runs WHERE run_id NOT IN (SELECT run_id FROM LEDGER_events)");
    scene.project.daymill(&["ledger", "verify"]).expect(0);
    scene
        .project
        .daymill(&["ledger", "verify", "--head", &head])
        .expect(65)
        .says("before the head written down elsewhere");
    // Rows that were edited in the table itself.
    scene.execute("UPDATE main.tally SET value = value + 1 WHERE id = 5");
    scene.project.daymill(&["ledger", "verify", "--rows", "tally"]).expect(65).says("are not those that run");
}
