//! The vocabulary of the tests: a project in a temporary folder, the program run in it, and what it published.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};

/// A copy of this repository's own project. The fixtures are shared, not copied.
pub struct Project {
    pub folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    #[track_caller]
    pub fn expect(self, code: i32) -> Outcome {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Outcome {
        assert!(self.stderr.contains(text), "{text:?} is not in:\n{}", self.stderr);
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

impl Project {
    pub fn flights() -> Project {
        let folder = tempfile::tempdir().unwrap();
        let root = repository();
        std::fs::copy(root.join("daymill.toml"), folder.path().join("daymill.toml")).unwrap();
        for part in ["jobs", "sql/flight_delay", "sql/carrier_daily"] {
            std::fs::create_dir_all(folder.path().join(part)).unwrap();
            for entry in std::fs::read_dir(root.join(part)).unwrap() {
                let path = entry.unwrap().path();
                // The laboratory's job has tests of its own.
                if path.ends_with("run_qc.toml") {
                    continue;
                }
                std::fs::copy(&path, folder.path().join(part).join(path.file_name().unwrap())).unwrap();
            }
        }
        std::os::unix::fs::symlink(root.join("fixtures"), folder.path().join("fixtures")).unwrap();
        Project { folder, environment: Vec::new() }
    }

    /// A folder with nothing in it.
    pub fn empty() -> Project {
        Project { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn env(mut self, name: &str, value: &str) -> Project {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Replaces a text that must be there.
    #[track_caller]
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{from:?} is not in {name}");
        std::fs::write(self.path(name), text.replace(from, to)).unwrap();
    }

    /// Gives the project its own copy of a folder or file of the fixtures, to damage.
    pub fn own_fixtures(&self) {
        let link = self.path("fixtures");
        std::fs::remove_file(&link).unwrap();
        let copied = Command::new("cp").arg("-r").arg(repository().join("fixtures")).arg(&link).status().unwrap();
        assert!(copied.success());
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_daymill")), arguments)
    }

    /// The same with the program at another place.
    pub fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).args(arguments).stdin(Stdio::null());
        for name in [
            "DAYMILL_TARGET",
            "DAYMILL_OUTPUT",
            "DAYMILL_PROJECT",
            "DAYMILL_THREADS",
            "FAILPOINTS",
            "PGPASSWORD",
            "DAYMILL_KILL",
            "DAYMILL_SABOTAGE",
        ] {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(k, v)| (k, v)));
        command
    }

    pub fn daymill(&self, arguments: &[&str]) -> Outcome {
        outcome(self.command(arguments).output().unwrap())
    }

    /// Runs with failpoints, as in `before-commit=panic`.
    pub fn failing(&self, failpoints: &str, arguments: &[&str]) -> Outcome {
        outcome(self.command(arguments).env("FAILPOINTS", failpoints).output().unwrap())
    }

    pub fn start(&self, failpoints: &str, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.env("FAILPOINTS", failpoints).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The newest run.json.
    pub fn run_json(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.path(".daymill/runs/latest.json")).unwrap()).unwrap()
    }

    pub fn warehouse(&self) -> PathBuf {
        self.path(".daymill/warehouse.sqlite")
    }

    /// Rows of the SQLite warehouse as text, or nothing when there is no such table.
    pub fn sqlite(&self, sql: &str) -> Vec<String> {
        rows_of(&self.warehouse(), sql)
    }

    /// The published scores, in the order of the key, without what differs from run to run.
    pub fn scores(&self) -> Vec<String> {
        self.sqlite("SELECT flight_date, carrier, CAST(flight AS TEXT), origin, CAST(sched_dep_time AS TEXT), dest, CAST(p_late AS TEXT) \
                     FROM flight_delay_scores ORDER BY 1, 2, flight, 4, sched_dep_time")
    }
}

/// Rows of a SQLite file as text, or nothing when there is no such table.
/// Runs statements in a SQLite file.
pub fn execute_sqlite(file: &Path, sql: &str) {
    block_on(async {
        let mut connection = SqliteConnection::connect(&file.display().to_string()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

pub fn rows_of(file: &Path, sql: &str) -> Vec<String> {
    if !file.exists() {
        return Vec::new();
    }
    block_on(async {
        let url = format!("sqlite://{}?mode=ro", file.display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let rows = or_no_table(sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await);
        let cell = |row: &sqlx::sqlite::SqliteRow, i| row.get::<Option<String>, _>(i).unwrap_or("NULL".into());
        rows.iter().map(|row| (0..row.len()).map(|i| cell(row, i)).collect::<Vec<_>>().join("|")).collect()
    })
}

pub fn outcome(output: Output) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    Outcome {
        code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn finish(child: Child) -> Outcome {
    outcome(child.wait_with_output().unwrap())
}

/// Waits until something is so, for at most twenty seconds.
#[track_caller]
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap().success());
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// No table, no rows; any other error is the test's own.
fn or_no_table<T>(rows: Result<Vec<T>, sqlx::Error>) -> Vec<T> {
    match rows {
        Err(error) if error.to_string().contains("no such table") || error.to_string().contains("does not exist") => {
            Vec::new()
        }
        rows => rows.unwrap(),
    }
}

/// Instants as naive times of UTC, which the CSV writer can write.
fn without_zones(batch: &RecordBatch) -> RecordBatch {
    let naive = |array: &ArrayRef| match array.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => Arc::new(times.clone().with_timezone_opt(None::<Arc<str>>)) as ArrayRef,
        None => array.clone(),
    };
    let names = batch.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    RecordBatch::try_from_iter(names.into_iter().zip(batch.columns().iter().map(naive))).unwrap()
}

/// A database of its own on the private server, dropped with the server.
pub struct Database {
    pub url: String,
}

impl Database {
    pub fn new() -> Database {
        let server = std::env::var("DAYMILL_TEST_PG")
            .expect("DAYMILL_TEST_PG is not set: run the tests with `make test`, which starts a Postgres");
        let name = format!("t{}", uuid::Uuid::now_v7().simple());
        block_on(async {
            let mut connection =
                PgConnection::connect(&server).await.expect("the Postgres of the tests does not answer");
            sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
        });
        let (address, _) = server.rsplit_once('/').unwrap();
        Database { url: format!("{address}/{name}") }
    }

    pub fn execute(&self, sql: &str) {
        block_on(async {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        });
    }

    /// Rows as text; nothing when the statement fails.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        block_on(async {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let sql = format!("SELECT q::text FROM ({sql}) AS q");
            let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_all(&mut connection).await;
            or_no_table(rows)
        })
    }

    /// Advisory locks that sessions of this database hold.
    pub fn locks(&self) -> Vec<String> {
        self.rows(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid NOT IN (7237117, 7237118) \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
    }

    /// Loads the flights, weather and planes of the fixtures.
    pub fn with_flights(self) -> Database {
        self.execute(
            "CREATE TABLE flights (carrier text, flight bigint, tailnum text, origin text, dest text, sched_dep_time integer, \
                 sched_arr_time bigint, dep_time double precision, dep_delay double precision, arr_delay double precision, \
                 distance bigint, hour smallint, minute bigint, time_hour timestamptz); \
             CREATE TABLE weather (origin text, time_hour timestamptz, temp float8, dewp float8, humid float8, wind_dir float8, \
                 wind_speed float8, wind_gust float8, precip numeric, pressure float8, visib float8); \
             CREATE TABLE planes (tailnum text, built bigint, seats bigint, engines bigint);",
        );
        let fixtures = repository().join("fixtures");
        let mut files: Vec<PathBuf> =
            glob::glob(&fixtures.join("flights/*/*.parquet").display().to_string()).unwrap().flatten().collect();
        files.sort();
        for file in files {
            self.copy("flights", &file);
        }
        self.copy("weather", &fixtures.join("weather.parquet"));
        self.copy("planes", &fixtures.join("planes.parquet"));
        self
    }

    /// Rows of a Parquet file as CSV through COPY.
    pub fn copy(&self, table: &str, file: &Path) {
        let reader =
            parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(file).unwrap())
                .unwrap();
        let names: Vec<String> = reader.schema().fields().iter().map(|f| f.name().clone()).collect();
        let mut text = Vec::new();
        let mut writer = arrow::csv::WriterBuilder::new().with_header(false).build(&mut text);
        for batch in reader.build().unwrap() {
            writer.write(&without_zones(&batch.unwrap())).unwrap();
        }
        drop(writer);
        block_on(async {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql("SET TimeZone = 'UTC'").execute(&mut connection).await.unwrap();
            let mut copy = connection
                .copy_in_raw(&format!("COPY {table} ({}) FROM STDIN (FORMAT csv)", names.join(",")))
                .await
                .unwrap();
            copy.send(text).await.unwrap();
            copy.finish().await.unwrap();
        });
    }

    /// A project whose source and warehouse are this database.
    pub fn project(&self) -> Project {
        Project::flights()
            .env("DAYMILL_OPS_URL", &self.url)
            .env("DAYMILL_WAREHOUSE_URL", &self.url)
            .env("DAYMILL_TARGET", "prod")
    }

    pub fn scores(&self) -> Vec<String> {
        self.rows("SELECT flight_date, carrier, flight, origin, sched_dep_time, dest, p_late FROM flight_delay_scores ORDER BY 1, 2, 3, 4, 5")
    }
}
