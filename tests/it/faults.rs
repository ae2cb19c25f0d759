//! Kills at the places that matter: before COMMIT the old rows stand, after it the new ones, and the next run needs
//! no help.

use crate::support::*;

const DAY: [&str; 4] = ["run", "flight_delay", "--date", "2013-06-08"];

/// Starts a run that stops at a failpoint, kills it there, and waits until it is gone.
fn kill_at(project: &Project, failpoint: &str) {
    let mut child = project.start(&format!("{failpoint}=sleep(60000)"), &DAY);
    until("the run", || {
        project.daymill(&["runs", "-n", "1"]).stdout.contains("running") || failpoint == "after-commit"
    });
    std::thread::sleep(std::time::Duration::from_millis(1200));
    signal(&child, "KILL");
    child.wait().unwrap();
}

fn survives(project: &Project, scores: impl Fn() -> Vec<String>) {
    project.daymill(&DAY).expect(0);
    let old = scores();
    // Another model, so that old and new rows differ.
    project.edit("jobs/flight_delay.toml", "@champion\"", "@1\"\nmax_bad_fraction = 1.0");
    for failpoint in ["after-lock", "batch-loaded", "before-commit"] {
        kill_at(project, failpoint);
        until("the server's notice", || project.daymill(&["runs", "-n", "1"]).stdout.contains("abandoned"));
        assert_eq!(scores(), old, "killed at {failpoint}");
    }
    kill_at(project, "after-commit");
    let new = scores();
    assert_ne!(new, old);
    project.daymill(&DAY).expect(0);
    assert_eq!(scores(), new);
    let abandoned = project.daymill(&["runs"]).stdout.matches("abandoned").count();
    assert_eq!(abandoned, 3);
}

#[test]
fn a_killed_run_leaves_old_rows_or_new_ones_in_sqlite() {
    let project = Project::flights();
    survives(&project, || project.scores());
}

#[test]
fn a_killed_run_leaves_old_rows_or_new_ones_in_postgres() {
    let database = Database::new().with_flights();
    survives(&database.project(), || database.scores());
}

#[test]
fn readers_see_all_old_rows_or_all_new_ones() {
    let database = Database::new().with_flights();
    let project = database.project();
    project.daymill(&DAY).expect(0);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let seen = database.rows("SELECT count(*), count(DISTINCT run_id) FROM flight_delay_scores");
                assert_eq!(seen, ["(779,1)"]);
                reads += 1;
            }
            reads
        });
        for _ in 0..5 {
            project.daymill(&DAY).expect(0);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().unwrap() > 5);
    });
}

#[test]
fn of_many_starts_at_once_one_runs_and_the_table_is_right() {
    let database = Database::new().with_flights();
    for (project, local) in [(Project::flights(), true), (database.project(), false)] {
        let children: Vec<_> = (0..6).map(|_| project.start("after-lock=sleep(1500)", &DAY)).collect();
        let codes: Vec<i32> = children.into_iter().map(|child| finish(child).code).collect();
        assert_eq!(codes.iter().filter(|c| **c == 0).count(), 1, "{codes:?}");
        assert_eq!(codes.iter().filter(|c| **c == 75).count(), 5, "{codes:?}");
        assert_eq!(if local { project.scores() } else { database.scores() }.len(), 779);
    }
}
