//! Kills: at every named place, at every n-th system call, at random times, and again while the rerun mends things.

use std::time::{Duration, Instant};

use super::scene::*;
use super::{Random, full, seed};
use crate::support::*;

const PLACES: [&str; 9] = [
    "after-lock",
    "score-batch",
    "mid-copy",
    "batch-loaded",
    "after-delete",
    "before-ledger",
    "before-commit",
    "after-commit",
    "before-exit",
];

/// Those of a folder of Parquet files.
const LAKE_PLACES: [&str; 4] = ["lake-written", "lake-held", "lake-shown", "lake-renamed"];

#[test]
fn every_named_place_of_the_source_is_killed_at() {
    let sources = glob::glob(&repository().join("src/**/*.rs").display().to_string()).unwrap().flatten();
    let mut named = std::collections::BTreeSet::new();
    for path in sources {
        let text = std::fs::read_to_string(path).unwrap();
        let places = text.split("failpoints::at(\"").skip(1).filter_map(|rest| rest.split('"').next());
        named.extend(places.map(str::to_owned));
    }
    let killed = PLACES.into_iter().chain(LAKE_PLACES).map(str::to_owned).collect();
    assert_eq!(named, killed);
}

/// Kills a run at a place and says what must be true afterwards.
pub fn killed_at(scene: &Scene, place: &str) -> Verdict {
    let ended = outcome(scene.project.command(&RUN).env("DAYMILL_KILL", place).output().unwrap());
    // SQLite knows no COPY, and of a folder nothing is deleted.
    let passed = match place {
        "mid-copy" => scene.database.is_some(),
        "after-delete" => !scene.lake,
        _ => true,
    };
    if ended.code != if passed { 137 } else { 0 } {
        return Err(format!("killed at {place}, exit {}\n{}", ended.code, ended.stderr));
    }
    let committed =
        ["after-commit", "before-exit", "lake-held", "lake-shown", "lake-renamed"].contains(&place) || !passed;
    let expected = if committed { Rows::New } else { Rows::Old };
    scene.check(Some(&ended), expected).map_err(|e| format!("killed at {place}: {e}"))
}

#[test]
fn f01_a_kill_at_any_named_place_leaves_old_rows_or_new_ones() {
    for place in PLACES {
        for scene in Scene::of_every_kind() {
            killed_at(&scene, place).unwrap();
        }
    }
    for place in LAKE_PLACES {
        killed_at(&Scene::lake(), place).unwrap();
    }
}

/// Without the program in between: the calls by which anything leaves the process.
fn at_every_call(make: fn() -> Scene) {
    let step = if full() { 1 } else { 7 };
    let mut random = Random(seed());
    let (mut n, mut survived) = (1 + random.below(step), 0);
    let mut scene = make();
    loop {
        let inject = format!(
            "inject=write,pwrite64,sendto,sendmsg,fsync,fdatasync,rename,renameat2,link,linkat,ftruncate:signal=SIGKILL:when={n}"
        );
        let ended = scene.traced(&inject, &RUN);
        if ended.code == 0 {
            break;
        }
        assert_eq!(ended.code, 137, "call {n}: {}", ended.stderr);
        scene.check(Some(&ended), Rows::Either).unwrap_or_else(|e| panic!("killed at call {n}: {e}"));
        survived += 1;
        n += step;
        // Every kill meets old rows again.
        scene = make();
    }
    assert!(survived >= 4, "only {survived} calls were reached");
    eprintln!("survived {survived} kills, at every {step}th of {n} calls");
}

#[test]
fn f02_a_kill_at_any_system_call_in_sqlite() {
    at_every_call(Scene::sqlite);
}

#[test]
fn f02_a_kill_at_any_system_call_in_a_folder() {
    at_every_call(Scene::lake);
}

#[test]
fn f02_a_kill_at_any_system_call_in_postgres() {
    at_every_call(Scene::postgres);
}

/// Kills at random times until `kills` have hit a living run; the seed decides the times.
fn at_random(scene: &mut Scene, kills: u64, random: &mut Random) -> u64 {
    let whole = {
        let at = Instant::now();
        scene.project.daymill(&RUN).expect(0);
        at.elapsed().as_micros() as u64
    };
    let mut hit = 0;
    for round in 0..kills {
        // Old and new take turns, so that a half-replaced day would show.
        std::mem::swap(&mut scene.old, &mut scene.new);
        scene.formula(if round % 2 == 0 { "v * 2.0" } else { "v * 3.0" });
        let mut child = scene.project.start("", &RUN);
        std::thread::sleep(Duration::from_micros(random.below(whole * 11 / 10)));
        let _ = child.kill();
        let ended = finish(child);
        hit += u64::from(ended.code == 137);
        scene.data_agrees(Rows::Either).unwrap_or_else(|e| panic!("kill {round}: {e}"));
        scene.project.daymill(&RUN).expect(0);
        scene.data_agrees(Rows::New).unwrap_or_else(|e| panic!("after kill {round}: {e}"));
    }
    hit
}

/// Kills in one warehouse.
const EACH: u64 = 100;

#[test]
fn f03_kills_at_random_times() {
    let kills: u64 = match std::env::var("DAYMILL_FAULTS").as_deref() {
        Ok("long") => 5000,
        Ok("full") => 300,
        _ => 20,
    };
    let mut random = Random(seed());
    let mut hit = 0;
    // A ledger of some hundred runs at a time: each kill is followed by reading all of it.
    for round in 0..kills.div_ceil(EACH) {
        for mut scene in Scene::of_every_kind() {
            hit += at_random(&mut scene, EACH.min(kills - round * EACH), &mut random);
            let ended = scene.project.daymill(&RUN);
            scene.check(Some(&ended), Rows::New).unwrap();
        }
        eprintln!("{} kills, {hit} of a living run, 0 faults so far", 3 * kills.min((round + 1) * EACH));
    }
    eprintln!(
        "{} kills, {hit} of a living run, 0 faults: with 95 % confidence at most {:.5} of kills do harm (3/n)",
        3 * kills,
        3.0 / hit as f64
    );
    assert!(hit * 2 > kills);
}

#[test]
fn f04_killing_the_rerun_five_times_over_still_converges() {
    for scene in Scene::of_every_kind() {
        for place in ["after-delete", "before-ledger", "batch-loaded", "after-lock", "before-commit"] {
            let place = if scene.lake && place == "after-delete" { "lake-written" } else { place };
            let ended = outcome(scene.project.command(&RUN).env("DAYMILL_KILL", place).output().unwrap());
            assert_eq!(ended.code, 137);
        }
        scene.check(None, Rows::Old).unwrap();
    }
}

#[test]
fn f05_sigterm_at_any_place_ends_within_ten_seconds() {
    for scene in Scene::of_every_kind() {
        for place in ["after-lock", "score-batch", "batch-loaded"] {
            let child = scene.project.start(&format!("{place}=sleep(1500)"), &RUN);
            std::thread::sleep(Duration::from_millis(700));
            signal(&child, "TERM");
            let at = Instant::now();
            let ended = finish(child);
            assert!(at.elapsed() < Duration::from_secs(10));
            assert_eq!(ended.code, 143, "{place}: {}", ended.stderr);
            scene.data_agrees(Rows::Old).unwrap();
        }
        assert_eq!(scene.count("(SELECT count(*) FROM LEDGER_runs WHERE state = 'interrupted')"), 3);
        scene.check(None, Rows::Old).unwrap();
    }
}

#[test]
fn f06_sigterm_after_commit_was_sent_reports_the_real_result() {
    for scene in Scene::of_every_kind() {
        let child = scene.project.start("after-commit=sleep(1500)", &RUN);
        until("the commit", || scene.rows(DAY) == scene.new);
        signal(&child, "TERM");
        let ended = finish(child).expect(0);
        scene.check(Some(&ended), Rows::New).unwrap();
    }
}

#[test]
fn f07_two_sigints_end_at_once() {
    let scene = Scene::sqlite();
    let child = scene.project.start("score-batch=sleep(20000)", &RUN);
    std::thread::sleep(Duration::from_millis(700));
    let at = Instant::now();
    signal(&child, "INT");
    std::thread::sleep(Duration::from_millis(200));
    signal(&child, "INT");
    let ended = finish(child);
    assert!(at.elapsed() < Duration::from_millis(1200));
    assert_eq!(ended.code, 130);
    scene.check(Some(&ended), Rows::Old).unwrap();
}

#[test]
fn f08_a_panic_while_scoring_is_70() {
    for scene in Scene::of_every_kind() {
        let ended = scene.project.failing("score-batch=panic(for the test)", &RUN).expect(70);
        scene.check(Some(&ended), Rows::Old).unwrap();
    }
}

#[test]
fn f10_a_closed_or_full_stdout_is_no_panic() {
    let scene = Scene::sqlite();
    for (place, code) in [("/dev/full", 74), ("closed", 0)] {
        let mut command = scene.project.command(&RUN);
        let ended = match place {
            "closed" => {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                outcome(command.stdout(writer).output().unwrap())
            }
            full => outcome(command.stdout(std::fs::File::options().write(true).open(full).unwrap()).output().unwrap()),
        };
        assert_eq!(ended.code, code, "{place}: {}", ended.stderr);
    }
    scene.check(None, Rows::New).unwrap();
}
