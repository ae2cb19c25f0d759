//! Whether the tests bite: five wrongs are built into a run, and a case must turn red on each of them.

use super::scene::{Scene, Verdict};
use super::{cuts, kills, races};

#[track_caller]
fn must_be_noticed(what: &str, verdict: Verdict) {
    match verdict {
        Ok(()) => panic!("the sabotage {what} went unnoticed"),
        Err(why) => eprintln!("{what}: {}", why.lines().next().unwrap_or_default()),
    }
}

/// A scene whose program does the wrong thing.
fn wrong(what: &str) -> Scene {
    let mut scene = Scene::postgres();
    scene.project = scene.project.env("DAYMILL_SABOTAGE", what);
    scene
}

#[test]
fn without_a_lock_the_suite_is_red() {
    must_be_noticed("no-lock", races::started_at_once(&Scene::postgres(), 4, "no-lock"));
}

#[test]
fn with_the_lock_on_another_connection_the_suite_is_red() {
    must_be_noticed("lock-apart", races::zombie("lock-apart"));
}

#[test]
fn with_the_ledger_written_after_the_commit_the_suite_is_red() {
    must_be_noticed("ledger-late", kills::killed_at(&wrong("ledger-late"), "after-commit"));
}

#[test]
fn with_a_retry_after_an_unknown_commit_the_suite_is_red() {
    must_be_noticed("retry-commit", cuts::cut_after_commit("retry-commit"));
}

#[test]
fn with_truncate_for_delete_the_suite_is_red() {
    let scene = wrong("truncate");
    let ended = scene.project.daymill(&super::scene::RUN);
    must_be_noticed("truncate", scene.check(Some(&ended), super::scene::Rows::New));
}
