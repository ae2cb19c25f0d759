//! Disks that are full, fail or are forbidden, and processes that may open or write little.

use std::process::Command;

use super::scene::*;
use super::{Random, full, seed};
use crate::support::*;

/// The program in a shell that first does something to itself.
fn after(scene: &Scene, first: &str) -> Outcome {
    let plain = scene.project.command(&RUN);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{first} && exec \"$0\" \"$@\"")]).arg(plain.get_program()).args(plain.get_args());
    copy_surroundings(&plain, &mut command);
    outcome(command.output().unwrap())
}

#[test]
fn f42_a_small_disk_under_everything_that_is_written() {
    // The warehouse and the work folder lie on a file system of a few pages up to enough.
    for kib in
        if full() { vec![64, 128, 192, 256, 320, 384, 512, 1024, 4096, 65536] } else { vec![64, 192, 320, 65536] }
    {
        let scene = Scene::sqlite();
        let (house, work) = (scene.project.path("house"), scene.project.path(".daymill"));
        let script = format!(
            "mkdir -p {1} && cp -r {0} /tmp/daymill-house.$$ && mount -t tmpfs -o size={kib}k none {0} && \
             (cp -r /tmp/daymill-house.$$/. {0}/ || true) && rm -r /tmp/daymill-house.$$ && mount -t tmpfs -o size={kib}k none {1} && \
             {2} ; code=$? ; ls -l {0} >&2 ; exit $code",
            house.display(),
            work.display(),
            "\"$0\" \"$@\""
        );
        let plain = scene.project.command(&RUN);
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-c", &script]).arg(plain.get_program()).args(plain.get_args());
        copy_surroundings(&plain, &mut command);
        let ended = outcome(command.output().unwrap());
        // A copy that did not fit whole is a damaged warehouse, which is 66; a full disk is 74.
        let expected: &[i32] = if kib >= 1024 { &[0] } else { &[0, 66, 74] };
        assert!(expected.contains(&ended.code), "{kib} KiB: exit {}\n{}", ended.code, ended.stderr);
        // What happened on the small disk is gone with it; the warehouse below was never touched.
        scene.check(Some(&ended), Rows::Old).unwrap();
    }
}

/// Every n-th write fails from there on; the run says so and nothing is published, or it did not matter.
fn failing_writes(scene: &Scene, what: &str, error: &str, n: u64) -> Outcome {
    scene.traced(&format!("inject={what}:error={error}:when={n}+"), &RUN)
}

#[test]
fn f43_a_disk_that_is_full_from_the_nth_write_on() {
    full_from_the_nth_write(Scene::sqlite, "pwrite64,ftruncate,fallocate");
}

#[test]
fn f43_a_disk_that_is_full_from_the_nth_write_on_under_a_folder() {
    full_from_the_nth_write(Scene::lake, "pwrite64,ftruncate,fallocate");
    // The files themselves; reports and words for people are written so too.
    for n in 1..=if full() { 40 } else { 6 } {
        let scene = Scene::lake();
        let ended = failing_writes(&scene, "link,linkat,rename,renameat2,mkdir", "ENOSPC", n);
        assert!([0, 74].contains(&ended.code), "call {n}: exit {}\n{}", ended.code, ended.stderr);
        scene.check(Some(&ended), Rows::Either).unwrap_or_else(|e| panic!("call {n}: {e}"));
    }
}

fn full_from_the_nth_write(make: fn() -> Scene, calls: &str) {
    let step = if full() { 1 } else { 9 };
    let mut n = 1 + Random(seed()).below(step);
    loop {
        let scene = make();
        let ended = failing_writes(&scene, calls, "ENOSPC", n);
        assert!([0, 74].contains(&ended.code), "write {n}: exit {}\n{}", ended.code, ended.stderr);
        scene
            .check(Some(&ended), if ended.code == 0 { Rows::New } else { Rows::Old })
            .unwrap_or_else(|e| panic!("write {n}: {e}"));
        if ended.code == 0 {
            break;
        }
        n += step;
    }
    assert!(n > 3);
}

#[test]
fn f44_an_fsync_that_fails_is_not_taken_for_done() {
    for (make, most) in [(Scene::sqlite as fn() -> Scene, 2), (Scene::lake, 7)] {
        for n in 1..=if full() { 3 * most } else { most } {
            let scene = make();
            let ended = failing_writes(&scene, "fsync,fdatasync", "EIO", n);
            assert!([0, 74].contains(&ended.code), "fsync {n}: exit {}\n{}", ended.code, ended.stderr);
            if n == 1 {
                assert_eq!(ended.code, 74, "no fsync was made");
            }
            scene
                .check(Some(&ended), if ended.code == 0 { Rows::New } else { Rows::Either })
                .unwrap_or_else(|e| panic!("fsync {n}: {e}"));
        }
    }
}

#[test]
fn f45_a_limit_on_the_size_of_files() {
    for scene in [Scene::sqlite(), Scene::lake()] {
        let ended = after(&scene, "ulimit -f 8");
        assert!([74, 153].contains(&ended.code), "exit {}\n{}", ended.code, ended.stderr);
        assert_eq!(ended.code, 74, "SIGXFSZ ended it: {}", ended.stderr);
        scene.check(Some(&ended), Rows::Old).unwrap();
    }
}

#[test]
fn f46_a_limit_on_open_files() {
    for scene in Scene::of_every_kind() {
        for limit in [64, 32, 16, 10] {
            let ended = after(&scene, &format!("ulimit -n {limit}"));
            assert!([0, 66, 69, 74, 78].contains(&ended.code), "{limit}: exit {}\n{}", ended.code, ended.stderr);
        }
        scene.check(None, Rows::Either).unwrap();
    }
}

#[test]
fn f49_a_folder_that_is_a_file_or_is_missing() {
    let scene = Scene::sqlite();
    scene.project.write("blocked", "a file");
    scene.project.edit("daymill.toml", "house/warehouse.sqlite", "blocked/warehouse.sqlite");
    scene.project.daymill(&RUN).expect(74);
    scene.project.edit("daymill.toml", "blocked/warehouse.sqlite", "house/warehouse.sqlite");
    std::fs::write(scene.project.path(".daymill/runs.moved"), "").unwrap();
    scene.check(None, Rows::Old).unwrap();
}
