//! Runs that meet: many starts of one interval, a holder that is killed, a run that sleeps through its own replacement,
//! readers during replacements.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::full;
use super::scene::*;
use crate::support::*;

/// 31: of many starts of one interval one runs and the others say who holds it.
pub fn started_at_once(scene: &Scene, n: usize, sabotage: &str) -> Verdict {
    let start = |_| {
        let mut command = scene.project.command(&RUN);
        command.env("FAILPOINTS", "after-lock=sleep(700)").env("DAYMILL_SABOTAGE", sabotage);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..n).map(start).collect();
    let ended: Vec<Outcome> = children.into_iter().map(finish).collect();
    let with = |code: i32| ended.iter().filter(|outcome| outcome.code == code).count();
    // A start that was slow to come may find the lock free again; it then runs as the next.
    if with(0) < 1 || with(0) + with(75) != n || (n <= 8 && with(0) != 1) {
        return Err(format!("exit codes {:?}", ended.iter().map(|o| o.code).collect::<Vec<_>>()));
    }
    if let Some(other) = ended.iter().find(|o| o.code == 75 && !o.stderr.contains("is being run by")) {
        return Err(format!("the holder is not named: {}", other.stderr));
    }
    if scene.rows(DAY).len() != scene.new.len() {
        return Err(format!("{} rows where {} belong", scene.rows(DAY).len(), scene.new.len()));
    }
    scene.check(None, Rows::New)
}

#[test]
fn f31_of_many_starts_one_runs() {
    let sizes: &[usize] = if full() { &[2, 8, 32, 2, 8, 2, 2, 8, 32] } else { &[2, 8] };
    for scene in Scene::of_every_kind() {
        sizes.iter().for_each(|n| started_at_once(&scene, *n, "").unwrap());
    }
}

#[test]
fn f32_a_run_right_after_a_killed_one_waits_until_the_server_has_noticed() {
    let scene = Scene::postgres();
    let database = scene.database.as_ref().unwrap();
    // Only the first run meets a long statement, in which the server does not see at once that its client is gone.
    database.execute(
        "CREATE TABLE calm (); \
         CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF to_regclass('calm') IS NOT NULL THEN PERFORM pg_sleep(20); END IF; RETURN NULL; END $$; \
         CREATE TRIGGER wait BEFORE DELETE ON tally FOR EACH STATEMENT EXECUTE FUNCTION wait()",
    );
    let child = scene.project.start("", &RUN);
    let waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    until("the long statement", || !database.rows(waits).is_empty());
    // A live holder is not waited for.
    let other = scene.project.daymill(&RUN).expect(75).says("is being run by");
    assert!(other.stderr.contains(&child.id().to_string()), "{}", other.stderr);
    database.execute("DROP TABLE calm");
    assert_eq!(kill(child).code, 137);
    assert!(!database.locks().is_empty(), "the server noticed too soon for this test");
    let ended = scene.project.daymill(&RUN);
    scene.check(Some(&ended), Rows::New).unwrap();
}

#[test]
fn f32_the_lock_of_a_killed_holder_is_free_within_two_seconds() {
    for scene in Scene::of_every_kind() {
        if let Some(database) = &scene.database {
            // The holder dies inside a long statement.
            database.execute(
                "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(20); RETURN NULL; END $$; \
                 CREATE TRIGGER wait BEFORE DELETE ON tally FOR EACH STATEMENT EXECUTE FUNCTION wait()",
            );
        }
        let child = scene.project.start("after-lock=sleep(400)", &RUN);
        std::thread::sleep(Duration::from_millis(1200));
        let ended = if scene.database.is_some() { kill(child) } else { finish(child) };
        if let Some(database) = &scene.database {
            assert_eq!(ended.code, 137);
            let at = Instant::now();
            until("the end of the dead session", || database.locks().is_empty());
            assert!(at.elapsed() < Duration::from_secs(2), "{:?}", at.elapsed());
            database.execute("DROP TRIGGER wait ON tally");
        }
        scene.check(None, Rows::Either).unwrap();
    }
}

/// 33: a run sleeps; the session that holds its lock is ended; another run publishes; the sleeper wakes.
pub fn zombie(sabotage: &str) -> Verdict {
    let scene = Scene::postgres();
    let database = scene.database.as_ref().unwrap();
    let mut command = scene.project.command(&RUN);
    command.env("FAILPOINTS", "score-batch=1*sleep(900)").env("DAYMILL_SABOTAGE", sabotage);
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let holder = "SELECT l.pid FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.classid NOT IN (7237117, 7237118) \
                  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until("the lock", || !database.locks().is_empty());
    std::thread::sleep(Duration::from_millis(200));
    signal(&child, "STOP");
    database.rows(&format!("SELECT pg_terminate_backend(pid) FROM ({holder}) AS h"));
    until("the end of the holder", || database.locks().is_empty());
    // The newer run has other rows.
    scene.formula("v * 2.0");
    let newer = scene.project.daymill(&RUN);
    scene.formula("v * 3.0");
    if newer.code != 0 {
        signal(&child, "CONT");
        let _ = finish(child);
        return Err(format!("the newer run exits {}\n{}", newer.code, newer.stderr));
    }
    signal(&child, "CONT");
    let ended = finish(child);
    if ended.code != 76 {
        return Err(format!("the sleeper exits {}\n{}", ended.code, ended.stderr));
    }
    scene.check(Some(&ended), Rows::Old)
}

#[test]
fn f33_a_run_that_was_replaced_in_its_sleep_is_76_and_the_newer_one_stands() {
    zombie("").unwrap();
}

#[test]
fn a_run_waits_for_another_as_long_as_it_is_told_to() {
    for scene in Scene::of_every_kind() {
        let first = scene.project.start("after-lock=sleep(1500)", &RUN);
        std::thread::sleep(Duration::from_millis(700));
        scene.project.daymill(&[&RUN[..], &["--wait", "0s"]].concat()).expect(75);
        let second = scene.project.daymill(&[&RUN[..], &["--wait", "30s"]].concat()).expect(0);
        finish(first).expect(0);
        scene.check(Some(&second), Rows::New).unwrap();
    }
}

#[test]
fn f35_readers_never_see_a_mix_or_nothing() {
    let replacements = if full() { 500 } else { 25 };
    for scene in Scene::of_every_kind() {
        let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
        let (old, new) = (scene.old.clone(), scene.new.clone());
        std::thread::scope(|scope| {
            let (scene, stop, reads) = (&scene, &stop, &reads);
            for _ in 0..2 {
                let (old, new) = (&old, &new);
                scope.spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        let seen = scene.rows(DAY);
                        assert!(&seen == old || &seen == new, "{} rows, {:?}", seen.len(), seen.first());
                        reads.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            for round in 0..replacements {
                scene.formula(if round % 2 == 0 { "v * 3.0" } else { "v * 2.0" });
                scene.project.daymill(&RUN).expect(0);
            }
            stop.store(true, Ordering::SeqCst);
        });
        let reads = reads.load(Ordering::SeqCst);
        eprintln!("{replacements} replacements, {reads} reads, 0 mixed or empty");
        assert!(reads > replacements);
        scene.formula("v * 3.0");
        scene.check(None, Rows::Either).unwrap();
    }
}
