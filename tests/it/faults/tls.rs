//! TLS: a certificate that is not to be trusted ends the run with 78, and nothing is ever sent in the clear instead.

use std::path::Path;
use std::process::Command;

use super::proxy::{Proxy, Trick};
use super::scene::*;
use crate::support::*;

/// Runs openssl in a folder, on another day when one is given.
fn openssl(folder: &Path, day: Option<&str>, arguments: &str) {
    let mut command = match day {
        Some(day) => {
            let mut command = Command::new("faketime");
            command.args([day, "openssl"]);
            command
        }
        None => Command::new("openssl"),
    };
    let output = command.args(arguments.split_whitespace()).current_dir(folder).output();
    let output = output.expect("openssl or faketime is not here: scripts/with-postgres.sh installs them");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A certificate for a host, signed by the folder's own authority.
fn certificate(folder: &Path, name: &str, host: &str, day: Option<&str>) {
    if !folder.join("ca.crt").exists() {
        openssl(
            folder,
            Some("2000-01-01"),
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 36500 \
             -subj /CN=authority -addext basicConstraints=critical,CA:TRUE",
        );
    }
    let request = format!(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
    );
    openssl(folder, None, &request);
    std::fs::write(folder.join("names"), format!("subjectAltName={host}\n")).unwrap();
    let sign = format!(
        "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile names -out {name}.crt"
    );
    openssl(folder, day, &sign);
}

/// A server that shows this certificate.
fn serve(server: &Server, folder: &Path, name: &str) {
    for ending in ["crt", "key"] {
        std::fs::copy(folder.join(format!("{name}.{ending}")), server.folder().join(format!("data/server.{ending}")))
            .unwrap();
    }
    let data = server.folder().join("data");
    let owned = Command::new("sh")
        .args(["-c", "chown --reference=. server.crt server.key && chmod 600 server.key"])
        .current_dir(&data)
        .status();
    assert!(owned.unwrap().success());
    server.database().execute("ALTER SYSTEM SET ssl = on");
    server.database().execute("SELECT pg_reload_conf()");
    until("TLS", || server.database().rows("SELECT current_setting('ssl')") == ["(on)"]);
    std::thread::sleep(std::time::Duration::from_millis(200));
}

#[test]
fn f72_a_certificate_that_is_not_to_be_trusted_is_78() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "right", "IP:127.0.0.1,DNS:localhost", None);
    certificate(folder.path(), "elsewhere", "DNS:db.example", None);
    certificate(folder.path(), "expired", "IP:127.0.0.1,DNS:localhost", Some("2001-01-01"));
    openssl(
        folder.path(),
        None,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout alone.key -out alone.crt -days 30 \
         -subj /CN=alone -addext subjectAltName=IP:127.0.0.1",
    );
    let server = Server::start();
    let scene = Scene::bare(Some(server.database()), 1);
    let ca = folder.path().join("ca.crt").display().to_string();
    let day = ["run", "tally", "--date", "2020-03-01"];
    let told = |mode: &str, root: &str| {
        let root = if root.is_empty() { String::new() } else { format!("root_certificate = \"{root}\"\n") };
        let text = format!(
            "[connection.house]\nurl = \"${{env:DAYMILL_TALLY_URL}}\"\ntls = \"{mode}\"\n{root}\
             [target.only]\nkind = \"postgres\"\nconnection = \"house\"\nschema = \"public\"\n"
        );
        scene.project.write("daymill.toml", text);
        scene.project.daymill(&day)
    };
    // A server that answers N: no word of the session goes to it.
    let url = scene.database.as_ref().unwrap().url.clone();
    for mode in ["require", "verify-ca", "verify-full"] {
        let proxy = Proxy::new(&url, Trick::Pass);
        let through = scene.project.command(&day);
        let mut through = through;
        told(mode, "").expect(78).says("TLS");
        let ended = outcome(through.env("DAYMILL_TALLY_URL", proxy.url(&url)).output().unwrap()).expect(78);
        assert!(ended.stderr.contains("TLS"), "{}", ended.stderr);
        // One SSLRequest of eight bytes, and nothing after it.
        assert_eq!(proxy.sent(), 8, "{mode}: something was sent in the clear");
    }
    let cases = [
        ("alone", "verify-full", "", 78),
        ("alone", "verify-full", ca.as_str(), 78),
        ("right", "verify-full", "", 78),
        ("elsewhere", "verify-full", ca.as_str(), 78),
        ("expired", "verify-full", ca.as_str(), 78),
        ("expired", "verify-ca", ca.as_str(), 78),
        ("elsewhere", "verify-ca", ca.as_str(), 0),
        ("alone", "require", "", 0),
        ("right", "verify-full", ca.as_str(), 0),
    ];
    let mut serving = "";
    for (name, mode, root, code) in cases {
        if serving != name {
            serve(&server, folder.path(), name);
            serving = name;
        }
        let ended = told(mode, root);
        assert_eq!(ended.code, code, "{name}, {mode}, root {root:?}:\n{}", ended.stderr);
        if code == 78 {
            ended.says("TLS");
        }
    }
    // A root certificate that is not there, or is none.
    told("verify-full", "nowhere.crt").expect(78).says("nowhere.crt");
    scene.project.write("none.crt", "no certificate");
    told("verify-full", scene.project.path("none.crt").to_str().unwrap()).expect(78).says("none.crt");
}
