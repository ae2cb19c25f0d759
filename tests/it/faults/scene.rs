//! A small project for faults, on SQLite or on Postgres: a plain job over days of a few rows, whose rows change when its
//! SQL changes. And the oracle: what must be true after any fault.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::util::display::array_value_to_string;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::*;

pub const DAY: &str = "2020-03-02";
const NEIGHBOUR: &str = "2020-03-01";
const ROWS: i64 = 120;
pub const SECRET: &str = "hunter2-planted-secret";
pub const RUN: [&str; 4] = ["run", "tally", "--date", DAY];
/// Every exit code of the table, and what a SIGKILL gives.
const CODES: [i32; 15] = [0, 2, 3, 65, 66, 69, 70, 74, 75, 76, 77, 78, 130, 143, 137];

pub type Verdict = Result<(), String>;

pub struct Scene {
    pub project: Project,
    pub database: Option<Database>,
    /// A folder of Parquet files.
    pub lake: bool,
    neighbour: Vec<String>,
    pub old: Vec<String>,
    pub new: Vec<String>,
}

/// What must stand in the table after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    Old,
    New,
    Either,
}

pub fn date(day: u32) -> String {
    let first = chrono::NaiveDate::from_ymd_opt(2020, 3, 1).unwrap();
    (first + chrono::Days::new(u64::from(day))).to_string()
}

impl Scene {
    /// One on each kind of warehouse.
    pub fn of_every_kind() -> [Scene; 3] {
        [Scene::sqlite(), Scene::postgres(), Scene::lake()]
    }

    pub fn sqlite() -> Scene {
        Scene::new(None)
    }

    pub fn postgres() -> Scene {
        Scene::new(Some(Database::new()))
    }

    pub fn lake() -> Scene {
        let mut scene = Scene::bare(None, 2);
        scene.lake = true;
        scene.project.write("daymill.toml", "[target.only]\nkind = \"parquet\"\npath = \"house\"\n");
        scene.published()
    }

    /// Two published days, and a second version of the SQL that gives other rows.
    pub fn new(database: Option<Database>) -> Scene {
        Scene::bare(database, 2).published()
    }

    fn published(self) -> Scene {
        let mut scene = self;
        scene.publish("v * 3.0");
        scene.new = scene.rows(DAY);
        scene.publish("v * 2.0");
        scene.old = scene.rows(DAY);
        assert_eq!(scene.old.len(), ROWS as usize);
        assert_ne!(scene.old, scene.new);
        scene.neighbour = scene.rows(NEIGHBOUR);
        scene.formula("v * 3.0");
        scene
    }

    /// A project of some days of which nothing is published.
    pub fn bare(database: Option<Database>, days: u32) -> Scene {
        let project = Project::empty().env("DAYMILL_PLANTED", SECRET);
        let project = match &database {
            Some(database) => project.env("DAYMILL_TALLY_URL", &database.url),
            None => project,
        };
        let target = match &database {
            Some(_) => {
                "[connection.house]\nurl = \"${env:DAYMILL_TALLY_URL}\"\npassword = \"${env:DAYMILL_PLANTED}\"\n\
                 [target.only]\nkind = \"postgres\"\nconnection = \"house\"\nschema = \"public\"\n"
            }
            None => "[target.only]\nkind = \"sqlite\"\npath = \"house/warehouse.sqlite\"\n",
        };
        project.write("daymill.toml", target);
        let text = "timezone = \"UTC\"\nkey = [\"id\"]\nstarts = \"2020-03-01\"\nends = \"LAST\"\n\
                    [extract.ticks]\nparquet = \"data/{date}.parquet\"\n[extract.ticks.columns]\nid = \"int\"\nname = \"text\"\nv = \"float\"\n\
                    [transform]\nsql = \"sql/tally.sql\"\n[load]\ntable = \"tally\"\n";
        project.write("jobs/tally.toml", text.replace("LAST", &date(days.saturating_sub(1))));
        let scene = Scene { project, database, lake: false, neighbour: Vec::new(), old: Vec::new(), new: Vec::new() };
        (0..days).for_each(|day| scene.data(&date(day), i64::from(day)));
        scene.formula("v * 3.0");
        scene
    }

    /// One day of the source.
    pub fn data(&self, date: &str, offset: i64) {
        let ids: Vec<i64> = (0..ROWS).map(|i| i + offset * 1000).collect();
        let names = ids.iter().map(|i| format!("name of {i}"));
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(Int64Array::from(ids.clone()))),
            ("name", Arc::new(StringArray::from_iter_values(names))),
            ("v", Arc::new(Float64Array::from_iter_values(ids.iter().map(|i| *i as f64 / 7.0)))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let path = self.project.path(&format!("data/{date}.parquet"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    pub fn formula(&self, formula: &str) {
        self.project.write("sql/tally.sql", format!("SELECT id, name, {formula} AS value FROM ticks"));
    }

    fn publish(&self, formula: &str) {
        self.formula(formula);
        for date in [NEIGHBOUR, DAY] {
            self.project.daymill(&["run", "tally", "--date", date]).expect(0);
        }
    }

    /// The rows of a day, in order, without what differs from run to run.
    pub fn rows(&self, date: &str) -> Vec<String> {
        match &self.database {
            None if self.lake => self.lake_rows(date),
            Some(database) => database.rows(&format!(
                "SELECT id, name, value FROM public.tally WHERE interval_start = '{date}T00:00:00Z' ORDER BY id"
            )),
            None => self.sqlite_rows(&format!(
                "SELECT CAST(id AS TEXT), name, CAST(value AS TEXT) FROM tally WHERE interval_start = '{date}T00:00:00Z' ORDER BY id"
            )),
        }
    }

    pub fn sqlite_rows(&self, sql: &str) -> Vec<String> {
        rows_of(&self.ledger_file(), sql)
    }

    fn ledger_file(&self) -> PathBuf {
        self.project.path(if self.lake { "house/_daymill.sqlite" } else { "house/warehouse.sqlite" })
    }

    /// The rows of a day as a reader of the manifest sees them. One who goes by the files' names must see a whole day too.
    fn lake_rows(&self, date: &str) -> Vec<String> {
        let folder = self.project.path("house/tally");
        let by_name = glob::glob(&folder.join(format!("dt={date}/*.parquet")).display().to_string()).unwrap().flatten();
        let by_name: Vec<PathBuf> = by_name.collect();
        assert!(by_name.len() <= 1, "{by_name:?}");
        let by_name: Vec<String> = by_name.iter().flat_map(|path| parquet_rows(path)).collect();
        if !self.old.is_empty() && date == DAY {
            assert!(by_name == self.old || by_name == self.new, "{} rows by their names", by_name.len());
        }
        let Ok(manifest) = std::fs::read(folder.join("_current.json")) else { return Vec::new() };
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let entries = manifest["intervals"].as_array().unwrap().iter().filter(|entry| entry["interval"] == date);
        entries.flat_map(|entry| parquet_rows(&folder.join(entry["path"].as_str().unwrap()))).collect()
    }

    /// A run of another day that ends at once. It opens the warehouse, and so shows what the ledger had before a kill.
    fn recover(&self) {
        if self.lake {
            self.project.failing("after-lock=panic(for the test)", &["run", "tally", "--date", NEIGHBOUR]).expect(70);
        }
    }

    /// One number of the ledger.
    pub fn count(&self, of: &str) -> i64 {
        let text = match &self.database {
            Some(database) => database.rows(&format!("SELECT {}", of.replace("LEDGER_", "daymill."))),
            None => self.sqlite_rows(&format!("SELECT CAST({} AS TEXT)", of.replace("LEDGER_", "daymill_"))),
        };
        text[0].trim_matches(['(', ')']).parse().unwrap()
    }

    /// Changes the warehouse behind the program's back.
    pub fn execute(&self, sql: &str) {
        match &self.database {
            Some(database) => database.execute(&sql.replace("LEDGER_", "daymill.")),
            None => block_on(async {
                use sqlx::Connection;
                let url = format!("sqlite://{}", self.ledger_file().display());
                let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
                let sql = sqlx::AssertSqlSafe(sql.replace("LEDGER_", "daymill_"));
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            }),
        }
    }

    /// The program under strace with one injected fault.
    pub fn traced(&self, inject: &str, arguments: &[&str]) -> Outcome {
        let plain = self.project.command(arguments);
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", inject]).arg(plain.get_program()).args(plain.get_args());
        copy_surroundings(&plain, &mut command);
        outcome(command.output().expect("strace is not here: scripts/with-postgres.sh installs it"))
    }

    /// The oracle. `outcome` is how the faulty run ended, when it ended by itself.
    pub fn check(&self, outcome: Option<&Outcome>, rows: Rows) -> Verdict {
        if let Some(outcome) = outcome {
            // (g)
            if !CODES.contains(&outcome.code) {
                return Err(format!("(g) exit code {} is not in the table\n{}", outcome.code, outcome.stderr));
            }
            secret_free(&outcome.stdout)?;
            secret_free(&outcome.stderr)?;
        }
        self.nothing_left()?;
        self.data_agrees(rows)?;
        let again = self.project.daymill(&RUN);
        if again.code != 0 {
            return Err(format!("(e) the rerun exits {}\n{}", again.code, again.stderr));
        }
        self.data_agrees(Rows::New)?;
        self.reports_are_clean()
    }

    /// (a), (b), (c)
    pub fn data_agrees(&self, rows: Rows) -> Verdict {
        self.recover();
        let found = self.rows(DAY);
        let fits = match rows {
            Rows::Old => found == self.old,
            Rows::New => found == self.new,
            Rows::Either => found == self.old || found == self.new,
        };
        if !fits {
            return Err(format!(
                "(a) {rows:?} rows should stand; there are {} rows: {:?} ...",
                found.len(),
                found.first()
            ));
        }
        if self.rows(NEIGHBOUR) != self.neighbour {
            return Err("(b) the rows of another day changed".into());
        }
        let verified = self.project.daymill(&["ledger", "verify", "--rows", "tally"]);
        match verified.code {
            0 => Ok(()),
            _ => Err(format!("(c) the ledger does not agree with the data\n{}", verified.stderr)),
        }
    }

    /// (d)
    fn nothing_left(&self) -> Verdict {
        let started = Instant::now();
        loop {
            let left = self.left();
            if left.is_empty() {
                return Ok(());
            }
            if started.elapsed() > Duration::from_secs(5) {
                return Err(format!("(d) left after 5 s: {left:?}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn left(&self) -> Vec<String> {
        match &self.database {
            Some(database) => database.rows(
                "SELECT 'session', application_name, state FROM pg_stat_activity \
                 WHERE datname = current_database() AND application_name LIKE 'daymill%' \
                 UNION ALL SELECT 'lock', locktype, mode FROM pg_locks WHERE locktype = 'advisory' \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                 UNION ALL SELECT 'staging', relname::text, '' FROM pg_class WHERE relname LIKE 'daymill_staging%'",
            ),
            None => {
                let folder = self.project.path("house");
                let locks = glob::glob(&folder.join("*.locks/*").display().to_string()).unwrap().flatten();
                let held = locks.filter(|path| std::fs::File::open(path).unwrap().try_lock().is_err());
                let tables = self.sqlite_rows("SELECT name FROM sqlite_master WHERE name LIKE '%staging%'");
                held.map(|path| path.display().to_string()).chain(tables).collect()
            }
        }
    }

    /// (f) in what is kept.
    fn reports_are_clean(&self) -> Verdict {
        let pattern = self.project.path(".daymill/runs/*/run.json").display().to_string();
        for path in glob::glob(&pattern).unwrap().flatten() {
            secret_free(&std::fs::read_to_string(path).unwrap())?;
        }
        Ok(())
    }
}

/// Rows of a file that a run wrote, as text.
fn parquet_rows(path: &std::path::Path) -> Vec<String> {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader.map(Result::unwrap) {
        let text = |name: &str, row: usize| array_value_to_string(batch.column_by_name(name).unwrap(), row).unwrap();
        rows.extend(
            (0..batch.num_rows())
                .map(|row| format!("{}|{}|{}", text("id", row), text("name", row), text("value", row))),
        );
    }
    rows
}

fn secret_free(text: &str) -> Verdict {
    if text.contains(SECRET) { Err(format!("(f) a secret stands in {text}")) } else { Ok(()) }
}

pub fn copy_surroundings(from: &Command, to: &mut Command) {
    if let Some(folder) = from.get_current_dir() {
        to.current_dir(folder);
    }
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
}

/// A Postgres of its own, to stop and start.
pub struct Server {
    folder: PathBuf,
    port: u16,
    /// The size of a file system that only the server sees.
    small: Option<&'static str>,
}

impl Server {
    pub fn start() -> Server {
        Server::with(None)
    }

    /// A server with a file system of this size at [`Server::small_space`].
    pub fn with_small_space(size: &'static str) -> Server {
        Server::with(Some(size))
    }

    pub fn small_space(&self) -> PathBuf {
        self.folder.join("small")
    }

    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    fn with(small: Option<&'static str>) -> Server {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = std::env::temp_dir().join(format!("daymill-own-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&folder).unwrap();
        let server = Server { folder, port, small };
        std::fs::create_dir(server.small_space()).unwrap();
        assert!(Command::new("chown").args(["-R", "postgres"]).arg(&server.folder).status().is_ok());
        server
            .tool("initdb", &["-D", "DATA", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        server.up();
        server
    }

    pub fn up(&self) {
        let options = format!("-p {} -h 127.0.0.1 -k {}", self.port, self.folder.display());
        let log = self.folder.join("log").display().to_string();
        self.tool("pg_ctl", &["-D", "DATA", "-w", "-l", &log, "-o", &options, "start"]);
    }

    pub fn stop_at_once(&self) {
        self.tool("pg_ctl", &["-D", "DATA", "-m", "immediate", "-w", "stop"]);
    }

    /// Starts it again as a standby, which only reads.
    pub fn demote(&self) {
        self.tool("pg_ctl", &["-D", "DATA", "-m", "fast", "-w", "stop"]);
        std::fs::write(self.folder.join("data/standby.signal"), "").unwrap();
        self.up();
    }

    pub fn database(&self) -> Database {
        Database { url: format!("postgres://postgres@127.0.0.1:{}/postgres", self.port) }
    }

    fn tool(&self, name: &str, arguments: &[&str]) {
        let folder = std::env::var("DAYMILL_TEST_PG_BIN").expect("DAYMILL_TEST_PG_BIN is not set: run `make test`");
        let data = self.folder.join("data").display().to_string();
        let tool = PathBuf::from(folder).join(name);
        let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let mut command = Command::new(if root { "runuser" } else { "env" });
        if root {
            command.args(["-u", "postgres", "--"]);
        }
        if let Some(size) = self.small.filter(|_| arguments.contains(&"start")) {
            let script =
                format!("mount -t tmpfs -o size={size} none '{}' && exec \"$0\" \"$@\"", self.small_space().display());
            command.args(["unshare", "-Um", "--map-current-user", "--keep-caps", "sh", "-c", &script]);
        }
        command
            .arg(&tool)
            .args(arguments.iter().map(|a| if *a == "DATA" { data.as_str() } else { a }))
            .current_dir("/");
        let output = command.stdout(std::process::Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stop = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.stop_at_once()));
        drop(stop);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Ends a child and gives what it said.
pub fn kill(mut child: Child) -> Outcome {
    let _ = child.kill();
    finish(child)
}
