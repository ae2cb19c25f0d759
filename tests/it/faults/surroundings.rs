//! What stands around a run: other sessions, limits, environments, files that change under it, hostile settings.

use std::time::Duration;

use sqlx::Connection;

use super::proxy::{Proxy, Trick};
use super::scene::*;
use crate::support::*;

#[test]
fn f22_the_victim_of_a_deadlock_tries_again() {
    let scene = Scene::postgres();
    let database = scene.database.as_ref().unwrap();
    database.execute(
        "CREATE TABLE bait (i int); CREATE FUNCTION bite() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         LOCK TABLE public.bait; RETURN NULL; END $$; \
         CREATE TRIGGER bite BEFORE DELETE ON tally FOR EACH STATEMENT EXECUTE FUNCTION bite()",
    );
    let url = database.url.clone();
    let (begun, waiting) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || {
        block_on(async {
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::raw_sql("SET deadlock_timeout = '20s'; BEGIN; LOCK TABLE bait")
                .execute(&mut connection)
                .await
                .unwrap();
            begun.send(()).unwrap();
            let waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'bait'::regclass";
            while sqlx::query(waits).fetch_optional(&mut connection).await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // The run holds the table that this asks for, and waits for the one that this holds.
            sqlx::raw_sql("LOCK TABLE tally").execute(&mut connection).await.unwrap();
            sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
        });
    });
    waiting.recv().unwrap();
    let ended = scene.project.daymill(&RUN).expect(0).says("deadlock detected");
    other.join().unwrap();
    scene.check(Some(&ended), Rows::New).unwrap();
}

/// A role of its own that may do what a writer may.
fn writer(database: &Database, limits: &str) -> (String, String) {
    let role = format!("w{}", uuid::Uuid::now_v7().simple());
    database.execute(&format!(
        "CREATE ROLE {role} LOGIN {limits}; GRANT USAGE ON SCHEMA public, daymill TO {role}; \
         GRANT ALL ON ALL TABLES IN SCHEMA daymill TO {role}; GRANT SELECT, INSERT, DELETE ON tally TO {role}"
    ));
    let url = database.url.replace("postgres@", &format!("{role}@"));
    (role, url)
}

#[test]
fn f25_too_many_connections_pass_or_are_69() {
    let scene = Scene::postgres();
    let database = scene.database.as_ref().unwrap();
    let (_, url) = writer(database, "CONNECTION LIMIT 1");
    let run = || scene.project.command(&RUN).env("DAYMILL_TALLY_URL", &url).output().unwrap();
    let (taken, waiting) = std::sync::mpsc::channel();
    let (free, freed) = std::sync::mpsc::channel::<()>();
    let held = url.clone();
    let holder = std::thread::spawn(move || {
        block_on(async {
            let connection = sqlx::PgConnection::connect(&held).await.unwrap();
            taken.send(()).unwrap();
            freed.recv().unwrap();
            connection.close().await.unwrap();
        });
    });
    waiting.recv().unwrap();
    let ended = outcome(run()).expect(69).says("too many connections");
    free.send(()).unwrap();
    holder.join().unwrap();
    scene.data_agrees(Rows::Old).unwrap();
    outcome(run()).expect(0);
    scene.check(Some(&ended), Rows::New).unwrap();
}

#[test]
fn f29_a_grant_that_is_revoked_during_the_run_is_78() {
    let scene = Scene::postgres();
    let database = scene.database.as_ref().unwrap();
    let (role, url) = writer(database, "");
    let mut command = scene.project.command(&RUN);
    command.env("DAYMILL_TALLY_URL", url).env("FAILPOINTS", "after-lock=sleep(900)");
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    until("the lock", || !database.locks().is_empty());
    database.execute(&format!("REVOKE INSERT ON tally FROM {role}"));
    let ended = finish(child).expect(78).says("permission denied");
    scene.check(Some(&ended), Rows::Old).unwrap();
}

/// A PgBouncer in front of a server, as the user postgres when this is root.
struct Pooler {
    child: std::process::Child,
    _folder: tempfile::TempDir,
    url: String,
}

impl Pooler {
    fn start(database: &Database, settings: &str) -> Pooler {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (head, name) = database.url.rsplit_once('/').unwrap();
        let server = head.rsplit_once(':').unwrap().1;
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = any\nunix_socket_dir =\nlogfile = \n{settings}\n"
        );
        let path = folder.path().join("pgbouncer.ini");
        std::fs::write(&path, text).unwrap();
        assert!(
            std::process::Command::new("chmod").arg("-R").arg("a+rX").arg(folder.path()).status().unwrap().success()
        );
        let root = std::process::Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let mut command = std::process::Command::new(if root { "runuser" } else { "env" });
        if root {
            command.args(["-u", "postgres", "--"]);
        }
        command.args(["sh", "-c", "PATH=$PATH:/usr/sbin exec pgbouncer -q \"$0\""]).arg(&path);
        let child = command.current_dir("/").stderr(std::process::Stdio::null()).spawn().unwrap();
        until("pgbouncer (scripts/with-postgres.sh installs it)", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Pooler { child, _folder: folder, url: format!("postgres://postgres@127.0.0.1:{port}/{name}") }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        signal(&self.child, "TERM");
        let _ = self.child.wait();
    }
}

#[test]
fn f30_a_pooler_that_does_not_keep_the_session_is_refused_by_name() {
    let scene = Scene::postgres();
    let database = scene.database.as_ref().unwrap();
    for settings in [
        "pool_mode = transaction",
        "pool_mode = transaction\nignore_startup_parameters = options",
        "pool_mode = statement\nignore_startup_parameters = options",
        "pool_mode = session\nignore_startup_parameters = options",
    ] {
        let pooler = Pooler::start(database, settings);
        for arguments in [&RUN[..], &["status"], &["backfill", "tally"]] {
            let ended =
                outcome(scene.project.command(arguments).env("DAYMILL_TALLY_URL", &pooler.url).output().unwrap());
            ended.expect(78).says("pooler").says("connect to the server itself");
        }
        // The pooler keeps sessions of the server; they are not ours.
        drop(pooler);
        scene.data_agrees(Rows::Old).unwrap();
    }
    // One that says nothing and forgets what a session asked for.
    let proxy = Proxy::new(&database.url, Trick::DropSettings);
    let through = proxy.url(&database.url);
    let ended = outcome(scene.project.command(&RUN).env("DAYMILL_TALLY_URL", through).output().unwrap());
    ended.expect(78).says("pooler").says("connect to the server itself");
    scene.check(None, Rows::Old).unwrap();
}

#[test]
fn f38_a_clock_that_is_wrong_or_races_changes_no_order() {
    for scene in [Scene::sqlite(), Scene::postgres()] {
        let runs_before = scene.count("(SELECT count(*) FROM LEDGER_runs)");
        // Decades ahead, then behind all that, then five thousand times too fast.
        let clocks = ["@2038-01-19 03:13:58", "@2020-03-03 00:00:01", "+0 x5000"];
        for clock in clocks {
            scene.formula("v * 5.0");
            let plain = scene.project.command(&RUN);
            let mut command = std::process::Command::new("faketime");
            command.args(["--exclude-monotonic", "-f", clock]).arg(plain.get_program()).args(plain.get_args());
            copy_surroundings(&plain, &mut command);
            let ended = command.output().expect("faketime is not here: scripts/with-postgres.sh installs it");
            outcome(ended).expect(0);
            scene.formula("v * 3.0");
            scene.project.daymill(&RUN).expect(0);
            scene.data_agrees(Rows::New).unwrap();
        }
        assert_eq!(scene.count("(SELECT count(*) FROM LEDGER_runs)"), runs_before + 6);
        let plan = scene.project.daymill(&["plan", "tally", "--only", "stale"]).expect(0).stdout;
        assert!(plan.lines().any(|line| line.starts_with("keep") && line.contains(DAY)), "{plan}");
        // A clock before the day says that the day is not over.
        let plain = scene.project.command(&RUN);
        let mut command = std::process::Command::new("faketime");
        command
            .args(["--exclude-monotonic", "-f", "@2020-03-02 23:00:00"])
            .arg(plain.get_program())
            .args(plain.get_args());
        copy_surroundings(&plain, &mut command);
        outcome(command.output().unwrap()).expect(2).says("has not ended");
        scene.check(None, Rows::New).unwrap();
    }
}

#[test]
fn f40_time_zones_and_languages_of_the_machine_do_not_matter() {
    for scene in [Scene::sqlite(), Scene::postgres()] {
        let mut hashes = std::collections::BTreeSet::new();
        for (zone, language) in
            [("UTC", "C"), ("Pacific/Kiritimati", "de_DE.UTF-8"), ("America/St_Johns", "tr_TR.UTF-8")]
        {
            let mut command = scene.project.command(&[&RUN[..], &["--output", "json"]].concat());
            command.envs([("TZ", zone), ("PGTZ", zone), ("LC_ALL", language), ("LANG", language)]);
            hashes.insert(
                outcome(command.output().unwrap()).expect(0).json()["content_hash"].as_str().unwrap().to_owned(),
            );
        }
        assert_eq!(hashes.len(), 1);
        scene.check(None, Rows::New).unwrap();
    }
}

#[test]
fn f54_a_model_that_is_replaced_during_the_run_changes_nothing() {
    let project = Project::flights();
    project.own_fixtures();
    let day = ["run", "flight_delay", "--date", "2013-06-08"];
    project.daymill(&day).expect(0);
    let before = project.scores();
    let child = project.start("after-lock=sleep(700)", &day);
    std::thread::sleep(Duration::from_millis(450));
    let model = project.path("fixtures/models/flight_delay/3/model.ubj");
    std::fs::File::options().write(true).open(&model).unwrap().set_len(10).unwrap();
    finish(child).expect(0);
    assert_eq!(project.scores(), before);
    project.daymill(&day).expect(66);
    assert_eq!(project.scores(), before);
}

#[test]
fn f64_many_columns_are_read_and_too_many_are_refused() {
    let scene = Scene::bare(Some(Database::new()), 1);
    let path = scene.project.path(&format!("data/{}.parquet", date(0)));
    let column = |i: usize| -> (String, arrow::array::ArrayRef) {
        (format!("c{i}"), std::sync::Arc::new(arrow::array::Int64Array::from(vec![i as i64, 7])))
    };
    let mut columns: Vec<_> = (0..10_000).map(column).collect();
    columns.push(("id".into(), std::sync::Arc::new(arrow::array::Int64Array::from(vec![1, 2]))));
    columns.push(("name".into(), std::sync::Arc::new(arrow::array::StringArray::from(vec!["a", "b"]))));
    columns.push(("v".into(), std::sync::Arc::new(arrow::array::Float64Array::from(vec![0.5, 1.5]))));
    let batch = arrow::array::RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    scene.project.daymill(&["run", "tally", "--date", &date(0)]).expect(0);
    assert_eq!(scene.rows(&date(0)).len(), 2);
    let wide = (0..1700).map(|i| format!("v AS w{i}")).collect::<Vec<_>>().join(", ");
    scene.project.write("sql/tally.sql", format!("SELECT id, {wide} FROM ticks"));
    scene.project.edit("jobs/tally.toml", "table = \"tally\"", "table = \"wide\"");
    scene.project.daymill(&["run", "tally", "--date", &date(0)]).expect(78).says("1600");
}

#[test]
fn f66_no_row_one_row_and_batches_one_off() {
    for scene in [Scene::sqlite(), Scene::postgres()] {
        let mut hashes = std::collections::BTreeSet::new();
        for rows in [1, 119, 120, 121, 100_000] {
            let job = std::fs::read_to_string(scene.project.path("jobs/tally.toml")).unwrap();
            let plain = job.lines().filter(|l| !l.starts_with("batch_rows")).collect::<Vec<_>>().join("\n");
            scene.project.write("jobs/tally.toml", format!("batch_rows = {rows}\n{plain}\n"));
            let told = scene.project.daymill(&[&RUN[..], &["--output", "json"]].concat()).expect(0).json();
            hashes.insert(told["content_hash"].as_str().unwrap().to_owned());
        }
        assert_eq!(hashes.len(), 1);
        scene.project.write("sql/tally.sql", "SELECT id, name, v AS value FROM ticks LIMIT 1");
        scene.project.daymill(&RUN).expect(0);
        assert_eq!(scene.rows(DAY).len(), 1);
        scene.project.write("sql/tally.sql", "SELECT id, name, v AS value FROM ticks WHERE id < 0");
        scene.project.daymill(&RUN).expect(65).says("gave no rows");
        assert_eq!(scene.rows(DAY).len(), 1);
        scene.formula("v * 3.0");
        scene.check(None, Rows::Either).unwrap_err();
        scene.project.daymill(&RUN).expect(0);
        scene.check(None, Rows::New).unwrap();
    }
}

#[test]
fn f76_a_search_path_does_not_lead_astray() {
    let scene = Scene::postgres();
    let database = scene.database.as_ref().unwrap();
    let name = database.url.rsplit('/').next().unwrap();
    database.execute(&format!(
        "CREATE SCHEMA evil; CREATE FUNCTION evil.encode(bytea, text) RETURNS text LANGUAGE sql AS $$ SELECT 'owned' $$; \
         CREATE TABLE evil.tally (id int); CREATE FUNCTION public.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT 'x'::bytea $$; \
         ALTER DATABASE {name} SET search_path = evil, public, pg_catalog"
    ));
    let ended = scene.project.daymill(&RUN).expect(0);
    scene.check(Some(&ended), Rows::New).unwrap();
    assert_eq!(database.rows("SELECT count(*) FROM evil.tally"), ["(0)"]);
}

#[test]
fn f77_a_source_query_cannot_write() {
    let database = Database::new().with_flights();
    database.execute(
        "CREATE TABLE traces (i int); CREATE FUNCTION sneak() RETURNS int LANGUAGE sql AS $$ INSERT INTO public.traces VALUES (1) RETURNING 1 $$",
    );
    let project = database.project();
    project.write("sql/flight_delay/planes.sql", "SELECT tailnum, built, seats, engines FROM planes WHERE sneak() = 1");
    project.daymill(&["run", "flight_delay", "--date", "2013-06-08"]).expect(78).says("read-only transaction");
    assert_eq!(database.rows("SELECT count(*) FROM traces"), ["(0)"]);
}
