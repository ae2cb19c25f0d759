//! Too much for too little: a tablespace that is full, little memory, a huge cell, and Parquet files that claim more than
//! they hold or hold more than they seem to.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::{
    FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData,
};

use super::full;
use super::scene::*;
use crate::support::*;

#[test]
fn f26_a_full_tablespace_is_74_and_the_old_rows_stand() {
    let server = Server::with_small_space("512k");
    let scene = Scene::new(Some(server.database()));
    let database = scene.database.as_ref().unwrap();
    database.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", server.small_space().display()));
    database.execute("ALTER TABLE tally SET TABLESPACE small");
    database.execute("VACUUM FULL tally");
    database.execute("CREATE TABLE ballast (t text) TABLESPACE small");
    // The rows of a statement that fails are dead, but their pages stay taken.
    let fill = "DO $$ BEGIN LOOP INSERT INTO public.ballast VALUES (repeat('x', 1000)); END LOOP; EXCEPTION WHEN disk_full THEN NULL; END $$";
    database.execute(fill);
    let ended = scene.project.daymill(&RUN).expect(74).says("No space left on device");
    scene.data_agrees(Rows::Old).unwrap();
    database.execute("DROP TABLE ballast");
    scene.check(Some(&ended), Rows::Old).unwrap();
}

/// The program in a shell that limits its own address space, in MiB.
fn within(scene: &Scene, mib: u64, arguments: &[&str]) -> Outcome {
    limited(&scene.project.command(arguments), mib)
}

fn limited(plain: &Command, mib: u64) -> Outcome {
    let mut command = Command::new("sh");
    let script = format!("ulimit -v {} && exec \"$0\" \"$@\"", mib * 1024);
    command.args(["-c", &script]).arg(plain.get_program()).args(plain.get_args());
    copy_surroundings(plain, &mut command);
    outcome(command.output().unwrap())
}

/// A day of many rows.
fn many_rows(scene: &Scene, date: &str, rows: i64) {
    let file = std::fs::File::create(scene.project.path(&format!("data/{date}.parquet"))).unwrap();
    let part = |from: i64, n: i64| {
        let ids: Vec<i64> = (from..from + n).collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(Int64Array::from(ids.clone()))),
            (
                "name",
                Arc::new(StringArray::from_iter_values(ids.iter().map(|i| if i % 2 == 0 { "even" } else { "odd" }))),
            ),
            ("v", Arc::new(Float64Array::from_iter_values(ids.iter().map(|i| *i as f64)))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let mut writer = ArrowWriter::try_new(file, part(0, 0).schema(), None).unwrap();
    for from in (0..rows).step_by(100_000) {
        writer.write(&part(from, 100_000.min(rows - from))).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn f47_memory_is_bounded_and_its_end_is_told() {
    let scene = Scene::sqlite();
    // From what the program itself takes to be mapped, through too little to go on, to enough for few rows.
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_daymill")).unwrap().len() >> 20;
    let mut codes = Vec::new();
    for more in (0..320).step_by(if full() { 8 } else { 32 }).chain([512, 1024, 4096]) {
        let ended = within(&scene, program / 2 + more, &RUN);
        // Before the program's first instruction the system itself ends it.
        let begun = !(ended.code == 139 && ended.stderr.is_empty() || ended.stderr.contains("error while loading"));
        // SQLite's own allocations fail softly: to it the warehouse may look damaged, or its table different.
        let told = [0, 66, 69, 70, 74, 78].contains(&ended.code);
        assert!(!begun || told, "{more} MiB: exit {}\n{}", ended.code, ended.stderr);
        if ended.stderr.contains("out of memory: ") {
            assert_eq!(ended.code, 74, "{more} MiB: {}", ended.stderr);
        }
        if ended.code == 74 {
            assert!(ended.stderr.contains("memory"), "{more} MiB: {}", ended.stderr);
        }
        codes.push(ended.code);
        scene.data_agrees(Rows::Either).unwrap();
    }
    eprintln!("with ever more memory: {codes:?}");
    assert!(codes.contains(&74) && codes[codes.len() - 1] == 0, "{codes:?}");
    scene.check(None, Rows::New).unwrap();
    // A day that is larger than what may be used, in pieces.
    let mut peaks = Vec::new();
    let rows = if full() { 10_000_000 } else { 1_000_000 };
    for rows in [rows / 10, rows] {
        many_rows(&scene, DAY, rows);
        within(&scene, 6144, &RUN).expect(0);
        peaks.push(scene.project.run_json()["peak_memory_mb"].as_u64().unwrap());
    }
    eprintln!("peak memory: {} MB for {} rows, {} MB for {rows}", peaks[0], rows / 10, peaks[1]);
    assert!(peaks[1] < 1000, "{peaks:?} MB");
}

#[test]
fn f48_one_huge_cell_arrives_or_is_refused() {
    let mib: u64 = if full() { 900 } else { 60 };
    let scene = Scene::postgres();
    let database = scene.database.as_ref().unwrap();
    scene.project.edit(
        "jobs/tally.toml",
        "parquet = \"data/{date}.parquet\"",
        "connection = \"house\"\nsql = \"sql/ticks.sql\"\nsnapshot = true",
    );
    scene.project.write(
        "sql/ticks.sql",
        format!("SELECT i::bigint AS id, CASE i WHEN 7 THEN repeat('0123456789abcdef', {}) ELSE 'small' END AS name, i::float8 AS v FROM generate_series(1, 20) AS i", mib << 16),
    );
    let ended = scene.project.daymill(&RUN).expect(0);
    let whole = format!(
        "SELECT id, length(name), md5(name) = md5(repeat('0123456789abcdef', {})) FROM tally WHERE id = 7 AND interval_start = '{DAY}T00:00:00Z'",
        mib << 16
    );
    assert_eq!(database.rows(&whole), [format!("(7,{},t)", mib << 20)]);
    assert!(ended.stderr.len() + ended.stdout.len() < 100_000);
    let held = scene.project.run_json()["peak_memory_mb"].as_u64().unwrap();
    eprintln!("a cell of {mib} MiB: peak {held} MB");
    // Two of them in one row are more than a message of the protocol holds.
    if full() {
        scene.project.edit("sql/ticks.sql", "THEN repeat('0123456789abcdef', ", "THEN repeat('0123456789abcdef', 2 * ");
        let ended = scene.project.daymill(&RUN);
        assert!([65, 74, 78].contains(&ended.code), "exit {}\n{}", ended.code, ended.stderr);
        assert_eq!(database.rows(&whole), [format!("(7,{},t)", mib << 20)]);
    }
}

/// The file with another footer.
fn with_footer(good: &[u8], rows: i64, groups: impl Fn(&RowGroupMetaData) -> Vec<RowGroupMetaData>) -> Vec<u8> {
    let known = ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(good.to_vec())).unwrap();
    let file = known.file_metadata();
    let file = FileMetaData::new(
        file.version(),
        rows,
        file.created_by().map(str::to_owned),
        file.key_value_metadata().cloned(),
        file.schema_descr_ptr(),
        None,
    );
    let footer = u32::from_le_bytes(good[good.len() - 8..good.len() - 4].try_into().unwrap()) as usize;
    let mut bytes = good[..good.len() - 8 - footer].to_vec();
    let lie = ParquetMetaData::new(file, known.row_groups().iter().flat_map(groups).collect());
    ParquetMetaDataWriter::new(&mut bytes, &lie).finish().unwrap();
    bytes
}

fn of_rows(group: &RowGroupMetaData, rows: i64, values: Option<i64>) -> RowGroupMetaData {
    let mut builder = group.clone().into_builder().set_num_rows(rows);
    if let Some(values) = values {
        let columns = group.columns().iter().map(|c| c.clone().into_builder().set_num_values(values).build().unwrap());
        builder = builder.set_column_metadata(columns.collect());
    }
    builder.build().unwrap()
}

#[test]
fn f52_parquet_that_claims_more_than_it_holds_is_refused_in_no_time() {
    let scene = Scene::sqlite();
    let path = scene.project.path(&format!("data/{DAY}.parquet"));
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, with_footer(&good, 120, |g| vec![g.clone()])).unwrap();
    scene.project.daymill(&RUN).expect(0);
    scene.formula("v * 2.0");
    scene.project.daymill(&RUN).expect(0);
    scene.formula("v * 3.0");
    let huge = 1i64 << 31;
    let lies: [(&str, Vec<u8>); 6] = [
        ("the group's rows", with_footer(&good, huge, |g| vec![of_rows(g, huge, None)])),
        ("the values too", with_footer(&good, huge, |g| vec![of_rows(g, huge, Some(huge))])),
        ("one row more", with_footer(&good, 121, |g| vec![of_rows(g, 121, Some(121))])),
        ("one row less", with_footer(&good, 119, |g| vec![of_rows(g, 119, Some(119))])),
        ("rows below nothing", with_footer(&good, -1, |g| vec![of_rows(g, -1, None)])),
        ("the largest number", with_footer(&good, i64::MAX, |g| vec![of_rows(g, i64::MAX, Some(i64::MAX))])),
    ];
    for (what, bytes) in lies {
        std::fs::write(&path, bytes).unwrap();
        // As a small file, which is decoded, and as a large one, of which the engine believes the footer.
        for small in ["16777216", "0"] {
            let started = Instant::now();
            let ended = limited(scene.project.command(&RUN).env("DAYMILL_LIMIT_SMALL_FILE", small), 3072);
            assert_eq!(ended.code, 66, "{what}: {}", ended.stderr);
            ended.says(&format!("{DAY}.parquet"));
            assert!(started.elapsed() < Duration::from_secs(5), "{what}");
            scene.data_agrees(Rows::Old).unwrap();
        }
    }
    std::fs::write(&path, &good).unwrap();
    scene.check(None, Rows::Old).unwrap();
}

#[test]
fn f52_a_small_file_that_decodes_to_gigabytes_does_not_fill_the_memory() {
    let scene = Scene::sqlite();
    let path = scene.project.path(&format!("data/{DAY}.parquet"));
    let good = std::fs::read(&path).unwrap();
    // Many groups of rows that are all the same pages.
    let groups = if full() { 200_000 } else { 20_000 };
    std::fs::write(&path, with_footer(&good, 120 * groups, |g| vec![g.clone(); groups as usize])).unwrap();
    let ended = within(&scene, 6144, &RUN);
    assert!([65, 66].contains(&ended.code), "exit {}\n{}", ended.code, ended.stderr);
    scene.data_agrees(Rows::Old).unwrap();
    // One text of a gigabyte in a page of a few hundred kilobytes, in each of two rows.
    let text = "x".repeat(if full() { 1 << 30 } else { 1 << 26 });
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(Int64Array::from(vec![1, 2]))),
        ("name", Arc::new(StringArray::from(vec![text.as_str(), "small"]))),
        ("v", Arc::new(Float64Array::from(vec![1.0, 2.0]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let zstd = parquet::basic::Compression::ZSTD(Default::default());
    let properties =
        parquet::file::properties::WriterProperties::builder().set_compression(zstd).set_dictionary_enabled(false);
    let mut bomb = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bomb, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert!(bomb.len() < text.len() / 1000);
    std::fs::write(&path, &bomb).unwrap();
    let ended = within(&scene, 16 << 10, &RUN);
    assert!([0, 65, 66, 74].contains(&ended.code), "exit {}\n{}", ended.code, ended.stderr);
    std::fs::write(&path, &good).unwrap();
    scene.check(Some(&ended), Rows::Either).unwrap_or_else(|e| {
        // A day of two rows is neither the old nor the new one; the rerun is.
        assert!(e.starts_with("(a)") && ended.code == 0, "{e}");
        scene.project.daymill(&RUN).expect(0);
        scene.check(None, Rows::New).unwrap();
    });
}

#[test]
fn f52_files_of_one_table_that_do_not_agree_are_65() {
    let scene = Scene::sqlite();
    scene.project.edit("jobs/tally.toml", "data/{date}.parquet", "data/{date}*.parquet");
    let write = |columns: Vec<(&str, ArrayRef)>| {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let path = scene.project.path(&format!("data/{DAY}-second.parquet"));
        let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    };
    let ids = || ("id", Arc::new(Int64Array::from(vec![900_001])) as ArrayRef);
    let name = || ("name", Arc::new(StringArray::from(vec!["n"])) as ArrayRef);
    let text = ("v", Arc::new(StringArray::from(vec!["1.0"])) as ArrayRef);
    for (columns, says) in [(vec![ids(), name()], "\"v\""), (vec![ids(), name(), text], "\"v\"")] {
        write(columns);
        scene.project.daymill(&RUN).expect(65).says(says).says("-second.parquet");
        scene.data_agrees(Rows::Old).unwrap();
    }
    // Another order of columns, an extra one and a narrower type are one table all the same.
    let narrow = ("v", Arc::new(arrow::array::Float32Array::from(vec![1.5])) as ArrayRef);
    let extra = ("more", Arc::new(Int64Array::from(vec![5])) as ArrayRef);
    write(vec![narrow, extra, name(), ids()]);
    scene.project.daymill(&RUN).expect(0);
    assert_eq!(scene.rows(DAY).len(), 121);
}
