//! What a database server does to a run: locks that others hold, queries that must end with it, answers that make no sense.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::*;

fn project(url: &str) -> Project {
    let project = Project::empty();
    project.write(
        "daymill.toml",
        "[connection.db]\nurl = \"${env:URL}\"\n[target.db]\nkind = \"postgres\"\nconnection = \"db\"\n[target.file]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n",
    );
    project.write("sql/s.sql", "SELECT 1 AS id WHERE :date IS NOT NULL");
    project.write("sql/t.sql", "SELECT id FROM a");
    project.write(
        "jobs/j.toml",
        "timezone = \"UTC\"\nkey = [\"id\"]\n[extract.a]\nconnection = \"db\"\nsql = \"sql/s.sql\"\n[transform]\nsql = \"sql/t.sql\"\n[load]\ntable = \"out\"\n",
    );
    project.env("URL", url)
}

const RUN: [&str; 6] = ["run", "j", "--date", "2024-01-05", "--target", "db"];

#[test]
fn a_lock_that_is_waited_for_is_named_with_its_holder() {
    let database = Database::new();
    let project = project(&database.url);
    project.daymill(&RUN).expect(0);
    let child = std::thread::scope(|scope| {
        scope.spawn(|| database.execute("BEGIN; LOCK TABLE out IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(9); COMMIT"));
        std::thread::sleep(Duration::from_secs(1));
        project.start("", &RUN)
    });
    finish(child).expect(0).says("waiting for a lock that pid").says("LOCK TABLE out");
}

#[test]
fn a_signal_ends_the_query_at_the_server_too() {
    let database = Database::new();
    let project = project(&database.url);
    project.write("sql/s.sql", "SELECT 1 AS id FROM pg_sleep(60) WHERE :date IS NOT NULL");
    let child = project.start("", &RUN);
    let asleep = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND wait_event = 'PgSleep' AND datname = current_database()";
    until("the source sleeps", || !database.rows(asleep).is_empty());
    let at = Instant::now();
    signal(&child, "INT");
    finish(child).expect(130);
    assert!(at.elapsed() < Duration::from_secs(10));
    until("the query has ended", || database.rows(asleep).is_empty());
    assert!(at.elapsed() < Duration::from_secs(12), "{:?}", at.elapsed());
}

/// A server that says this to whoever opens a session, and this to every message after it.
fn server(opening: &'static [u8], answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut bytes = [0u8; 4096];
                let _ = stream.read(&mut bytes);
                let _ = stream.write_all(opening);
                while stream.read(&mut bytes).is_ok_and(|n| n > 0) {
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[test]
fn a_server_that_makes_no_sense_is_no_defect_of_daymill() {
    const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    const ROW: &[u8] = b"T\0\0\0\x1d\0\x01pid\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0D\0\0\0\x0b\0\x01\0\0\0\x01xC\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
    for (opening, answer) in [
        (&b"R\0\0\0\x04"[..], &b""[..]),
        (b"R\0\0\0\x03", b""),
        (b"R\0\0\0\x08\0\0\0\x05", b""),
        (b"R\0\0\0\x09\0\0\0\x0aX", b""),
        (b"E\0\0\0\x10SERROR\0C1\xc3\xa9\0\0", b""),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", b""),
        (OK, b"C\0\0\0\x0dSELECT 0\0Z\0\0\0\x05I"),
        (OK, b"Z\0\0\0\x05I"),
        (OK, b"D\0\0\0\x06\xff\xffZ\0\0\0\x05I"),
        (OK, b"T\0\0\0\x06\0\x01Z\0\0\0\x05I"),
        (OK, b"\0\0\0\0\0\0\0\0"),
        (OK, ROW),
    ] {
        let url = format!("postgres://app:secret-of-the-test@127.0.0.1:{}/x", server(opening, answer));
        let project = project(&url);
        for target in ["db", "file"] {
            let at = Instant::now();
            let child = project.start("", &["run", "j", "--date", "2024-01-05", "--target", target]);
            std::thread::sleep(Duration::from_millis(700));
            signal(&child, "TERM");
            let ended = finish(child);
            assert!(
                [65, 66, 69, 78, 143].contains(&ended.code),
                "{opening:?} {answer:?}: {} {}",
                ended.code,
                ended.stderr
            );
            assert!(at.elapsed() < Duration::from_secs(12), "{opening:?} {answer:?}");
        }
    }
}
