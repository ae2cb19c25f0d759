//! Where libpq's programs find what a connection leaves out: the service file and the password file.

use std::path::{Path, PathBuf};

use super::secrets::Secret;
use crate::error::{Error, Result};
use crate::plain_file;

fn home(name: &str) -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(|home| Path::new(&home).join(name))
}

fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The keys and values of a service: from PGSERVICEFILE or ~/.pg_service.conf, else from PGSYSCONFDIR.
pub fn service(name: &str) -> Result<Vec<(String, String)>> {
    let own = named("PGSERVICEFILE").or_else(|| home(".pg_service.conf").filter(|path| path.exists()));
    let system = named("PGSYSCONFDIR").map(|folder| folder.join("pg_service.conf")).filter(|path| path.exists());
    let mut looked = Vec::new();
    for path in own.into_iter().chain(system) {
        let bytes = plain_file::read(&path, plain_file::SETTINGS)?;
        if let Some(found) = section(&String::from_utf8_lossy(&bytes), name) {
            return Ok(found);
        }
        looked.push(path.display().to_string());
    }
    let places = if looked.is_empty() { "~/.pg_service.conf".to_owned() } else { looked.join(" and ") };
    Err(Error::config(format!("there is no service {name:?} in {places}"))
        .hint("PGSERVICEFILE names another file; a service is a section [NAME] with host=, port=, dbname=, user="))
}

fn section(text: &str, name: &str) -> Option<Vec<(String, String)>> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.find(|line| line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) == Some(name))?;
    let own = lines.take_while(|line| !line.starts_with('['));
    Some(own.filter_map(|line| line.split_once('=')).map(|(k, v)| (k.trim().into(), v.trim().into())).collect())
}

/// The password of the first line that fits: from PGPASSFILE or ~/.pgpass. A file that others may read is not used.
pub fn password(host: &str, port: u16, database: &str, user: &str) -> Result<Option<Secret>> {
    let Some(path) = named("PGPASSFILE").or_else(|| home(".pgpass")).filter(|path| path.exists()) else {
        return Ok(None);
    };
    if others_may_read(&path) {
        return Err(Error::config(format!("the password file {} can be read by others", path.display()))
            .hint(format!("chmod 600 {}", path.display())));
    }
    let bytes = plain_file::read(&path, plain_file::SETTINGS)?;
    Ok(of(&String::from_utf8_lossy(&bytes), host, port, database, user).map(Secret::new))
}

#[cfg(unix)]
fn others_may_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn others_may_read(_: &Path) -> bool {
    false
}

/// `host:port:database:user:password`, each but the last possibly `*`.
fn of(text: &str, host: &str, port: u16, database: &str, user: &str) -> Option<String> {
    // A socket is this machine.
    let hosts = if host.starts_with('/') { vec![host, "localhost"] } else { vec![host] };
    let port = port.to_string();
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [h, p, d, u, password] = fields.as_slice() else { return None };
        let fits = |field: &String, value: &str| field == "*" || field == value;
        let all = hosts.iter().any(|host| fits(h, host)) && fits(p, &port) && fits(d, database) && fits(u, user);
        all.then(|| password.clone())
    })
}

/// The fields of a line; a backslash takes the meaning of a colon or a backslash.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut chars) = (vec![String::new()], line.chars());
    while let Some(c) = chars.next() {
        let last = fields.len() - 1;
        match c {
            '\\' => fields[last].extend(chars.next()),
            ':' if fields.len() < 5 => fields.push(String::new()),
            c => fields[last].push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text = "# host:port:database:user:password\nlocalhost:5432:ops:ann:one\n*:5433:*:bob:t\\:w\\\\o\nshort:line\n*:*:*:*:a:b\n";
        let of = |host, port, database, user| of(text, host, port, database, user);
        assert_eq!(of("localhost", 5432, "ops", "ann").as_deref(), Some("one"));
        assert_eq!(of("/var/run/postgresql", 5432, "ops", "ann").as_deref(), Some("one"));
        assert_eq!(of("db", 5433, "x", "bob").as_deref(), Some("t:w\\o"));
        assert_eq!(of("db", 5432, "ops", "ann").as_deref(), Some("a:b"));
        assert_eq!(super::of("db:1:x:u", "db", 1, "x", "u"), None);
        assert_eq!(super::of("", "db", 1, "x", "u"), None);
    }

    #[test]
    fn a_service_is_a_section() {
        let text =
            "# a comment\n[one]\nhost = db.one\nport=5433\n\n[two]\n  dbname=ops \n#x=y\nuser=ann\npassword=a=b\n";
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(section(text, "one"), Some(vec![pair("host", "db.one"), pair("port", "5433")]));
        let two = vec![pair("dbname", "ops"), pair("user", "ann"), pair("password", "a=b")];
        assert_eq!(section(text, "two"), Some(two));
        assert_eq!((section(text, "three"), section("", "x")), (None, None));
    }
}
