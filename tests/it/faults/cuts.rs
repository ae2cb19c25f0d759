//! The network and the server: connections that are cut, sliced, slowed and swallowed, a server that stops, backends that
//! are ended, and the commit whose answer never comes.

use std::time::{Duration, Instant};

use super::proxy::{Proxy, Trick};
use super::scene::*;
use super::{Random, full, seed};
use crate::support::*;

/// What only the message with the COMMIT of the load holds.
const COMMIT: &str = "\"event\":\"succeeded\"";

/// A scene whose program reaches Postgres through a proxy.
fn behind(trick: Trick) -> (Scene, Proxy, [(String, String); 1]) {
    let scene = Scene::postgres();
    let url = scene.database.as_ref().unwrap().url.clone();
    let proxy = Proxy::new(&url, trick);
    let through = [("DAYMILL_TALLY_URL".to_owned(), proxy.url(&url))];
    (scene, proxy, through)
}

fn run(scene: &Scene, through: &[(String, String)]) -> Outcome {
    outcome(scene.project.command(&RUN).envs(through.iter().cloned()).output().unwrap())
}

fn successes(scene: &Scene) -> i64 {
    scene.count("(SELECT count(*) FROM LEDGER_events WHERE body LIKE '%\"event\":\"succeeded\"%')")
}

/// 16: COMMIT reached the server, its answer did not reach the client.
pub fn cut_after_commit(sabotage: &str) -> Verdict {
    let (scene, proxy, through) = behind(Trick::CutAfter(COMMIT));
    let before = successes(&scene);
    let mut command = scene.project.command(&RUN);
    let ended = outcome(command.envs(through).env("DAYMILL_SABOTAGE", sabotage).output().unwrap());
    if !proxy.happened() || ended.code != 0 {
        return Err(format!("exit {}\n{}", ended.code, ended.stderr));
    }
    if successes(&scene) != before + 1 {
        return Err(format!("{} loads were committed where one belongs", successes(&scene) - before));
    }
    scene.check(Some(&ended), Rows::New)
}

#[test]
fn f16_a_commit_whose_answer_is_lost_is_settled_and_not_repeated() {
    for _ in 0..if full() { 20 } else { 2 } {
        cut_after_commit("").unwrap();
    }
}

#[test]
fn f17_a_commit_that_never_arrived_is_made_again() {
    for _ in 0..if full() { 20 } else { 2 } {
        let (scene, proxy, through) = behind(Trick::CutBefore(COMMIT));
        let before = successes(&scene);
        let ended = run(&scene, &through).expect(0);
        assert!(proxy.happened());
        assert_eq!(successes(&scene), before + 1);
        scene.check(Some(&ended), Rows::New).unwrap();
    }
}

#[test]
fn f18_a_commit_that_cannot_be_settled_is_77_and_running_again_is_safe() {
    let (scene, proxy, through) = behind(Trick::CutAfter(COMMIT));
    proxy.for_good();
    let ended = run(&scene, &through).expect(77).says("run the same command again");
    scene.check(Some(&ended), Rows::New).unwrap();
}

#[test]
fn f19_a_black_hole_ends_and_does_no_harm() {
    for text in ["COPY", COMMIT] {
        let (scene, proxy, through) = behind(Trick::SwallowFrom(text));
        let at = Instant::now();
        let ended = run(&scene, &through);
        assert!(proxy.happened());
        assert!(at.elapsed() < Duration::from_secs(60), "{text}: {:?}", at.elapsed());
        // Nothing in the network closed the swallowed session: the program ended it at the server.
        assert_eq!(ended.code, 0, "{text}: {}", ended.stderr);
        scene.check(Some(&ended), Rows::New).unwrap();
    }
}

#[test]
fn f20_single_bytes_and_latency_change_nothing() {
    for trick in [Trick::Slice, Trick::Delay(Duration::from_millis(if full() { 200 } else { 20 }))] {
        let (scene, _proxy, through) = behind(trick);
        let ended = run(&scene, &through).expect(0);
        scene.check(Some(&ended), Rows::New).unwrap();
    }
}

#[test]
fn f21_a_connection_that_ends_at_a_random_byte() {
    let mut random = Random(seed());
    let whole = {
        let (scene, proxy, through) = behind(Trick::Pass);
        run(&scene, &through).expect(0);
        proxy.sent()
    };
    for _ in 0..if full() { 60 } else { 6 } {
        let at = random.below(whole);
        let (scene, proxy, through) = behind(Trick::CutAt(at));
        let ended = run(&scene, &through);
        assert!(proxy.happened());
        assert_eq!(ended.code, 0, "cut at byte {at} of {whole}: {}", ended.stderr);
        scene.check(Some(&ended), Rows::New).unwrap_or_else(|e| panic!("cut at byte {at}: {e}"));
    }
}

#[test]
fn f11_a_server_that_stops_in_the_middle_and_comes_back() {
    let server = Server::start();
    let scene = Scene::new(Some(server.database()));
    let child = scene.project.start("batch-loaded=sleep(1500)", &RUN);
    std::thread::sleep(Duration::from_millis(900));
    server.stop_at_once();
    std::thread::sleep(Duration::from_millis(1500));
    server.up();
    let ended = finish(child).expect(0).says("trying again");
    scene.check(Some(&ended), Rows::New).unwrap();
}

#[test]
fn f12_a_server_that_never_comes_back_is_69() {
    let server = Server::start();
    let scene = Scene::new(Some(server.database()));
    let child = scene.project.start("batch-loaded=sleep(1500)", &RUN);
    std::thread::sleep(Duration::from_millis(900));
    server.stop_at_once();
    let ended = finish(child).expect(69).says("after 4 attempts");
    server.up();
    scene.check(Some(&ended), Rows::Old).unwrap();
}

/// Ends or cancels the backend of a run that waits at a place.
fn disturbed(function: &str, place: &str) {
    let scene = Scene::postgres();
    let child = scene.project.start(&format!("{place}=sleep(1200)"), &RUN);
    let sql = format!(
        "SELECT {function}(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'daymill%'"
    );
    std::thread::sleep(Duration::from_millis(600));
    assert!(!scene.database.as_ref().unwrap().rows(&sql).is_empty(), "no session at {place}");
    let ended = finish(child).expect(0);
    scene.check(Some(&ended), Rows::New).unwrap();
}

#[test]
fn f14_a_backend_that_is_terminated() {
    ["after-lock", "batch-loaded", "before-commit"].iter().for_each(|place| disturbed("pg_terminate_backend", place));
}

#[test]
fn f15_a_statement_that_is_cancelled() {
    let scene = Scene::postgres();
    let database = scene.database.as_ref().unwrap();
    // The DELETE waits for a lock of ours, and is cancelled while it waits.
    let holding = hold(&database.url, "LOCK TABLE tally IN ACCESS EXCLUSIVE MODE", Duration::from_millis(1500));
    let child = scene.project.start("", &RUN);
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                  AND application_name LIKE 'daymill%' AND wait_event_type = 'Lock'";
    until("the cancellation", || !database.rows(cancel).is_empty());
    holding.join().unwrap();
    let ended = finish(child).expect(0).says("trying again");
    scene.check(Some(&ended), Rows::New).unwrap();
}

/// Another session that does something in a transaction and keeps it open for a while.
fn hold(url: &str, sql: &'static str, time: Duration) -> std::thread::JoinHandle<()> {
    let (url, (begun, waiting)) = (url.to_owned(), std::sync::mpsc::channel());
    let handle = std::thread::spawn(move || {
        block_on(async {
            use sqlx::Connection;
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::raw_sql("BEGIN").execute(&mut connection).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            begun.send(()).unwrap();
            tokio::time::sleep(time).await;
            sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
        });
    });
    waiting.recv().unwrap();
    handle
}

#[test]
fn f23_a_failed_serialization_is_tried_again() {
    let scene = Scene::postgres();
    let database = scene.database.as_ref().unwrap();
    database.execute(
        "CREATE SEQUENCE patience; CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF nextval('public.patience') <= 2 THEN RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$; \
         CREATE TRIGGER refuse BEFORE DELETE ON tally FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
    );
    let ended = scene.project.daymill(&RUN).expect(0).says("attempt 2 of 4");
    scene.check(Some(&ended), Rows::New).unwrap();
}

#[test]
fn f24_a_locked_table_is_waited_for() {
    let scene = Scene::postgres();
    let url = &scene.database.as_ref().unwrap().url;
    let holding = hold(url, "LOCK TABLE tally IN ACCESS EXCLUSIVE MODE", Duration::from_millis(1500));
    let ended = scene.project.daymill(&RUN).expect(0);
    holding.join().unwrap();
    scene.check(Some(&ended), Rows::New).unwrap();
}

#[test]
fn f28_a_target_that_is_read_only_or_lacks_a_grant_is_78() {
    let scene = Scene::postgres();
    let database = scene.database.as_ref().unwrap();
    let name = database.url.rsplit('/').next().unwrap();
    database.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let ended = scene.project.daymill(&RUN).expect(78);
    database.execute(&format!(
        "BEGIN; SET TRANSACTION READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT"
    ));
    scene.check(Some(&ended), Rows::Old).unwrap();
    let role = format!("r{}", uuid::Uuid::now_v7().simple());
    database.execute(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA public, daymill TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA daymill TO {role}; \
         GRANT SELECT, DELETE ON tally TO {role}"
    ));
    let url = database.url.replace("postgres@", &format!("{role}@"));
    let ended = outcome(scene.project.command(&RUN).env("DAYMILL_TALLY_URL", url).output().unwrap())
        .expect(78)
        .says("permission denied");
    database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    scene.check(Some(&ended), Rows::New).unwrap();
}
