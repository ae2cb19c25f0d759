//! `[connection.NAME]` and `[target.NAME]` of daymill.toml: how to reach a Postgres, and where predictions go.
//! A URL is taken apart at once; what is shown of it is put together again from the fields that may be seen.

use std::path::{Path, PathBuf};

use super::libpq;
use super::secrets::{Secret, expand};
use crate::config::Table;
use crate::error::{Error, Result};

/// As written: nothing is resolved until the connection is used.
#[derive(Clone, Debug)]
pub struct Connection {
    pub name: String,
    /// A section of libpq's service file.
    service: Option<String>,
    url: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    database: Option<String>,
    password: Option<String>,
    tls: Option<Tls>,
    root_certificate: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Disable,
    Require,
    VerifyCa,
    VerifyFull,
}

const TLS_WORDS: [(&str, Tls); 4] = [
    ("disable", Tls::Disable),
    ("require", Tls::Require),
    ("verify-ca", Tls::VerifyCa),
    ("verify-full", Tls::VerifyFull),
];

/// Everything a driver needs.
#[derive(Clone, Debug)]
pub struct Dsn {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub database: String,
    pub password: Option<Secret>,
    pub tls: Tls,
    pub root_certificate: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub enum Target {
    /// The embedded warehouse: one SQLite file.
    Sqlite {
        path: PathBuf,
    },
    Postgres {
        connection: String,
        schema: String,
    },
    /// A folder of Parquet files, with the SQLite file of its ledger.
    Parquet {
        path: PathBuf,
        ledger: PathBuf,
    },
}

impl Connection {
    pub fn read(name: &str, table: &Table<'_>) -> Connection {
        // There is one kind so far.
        table.word("kind", &[("postgres", ())]);
        let string = |key: &str| table.string(key).map(|at| at.value);
        for key in ["url", "password"] {
            if let Some(at) = table.string(key)
                && holds_password(&at.value, key == "password")
            {
                table.fault_hint(
                    at.line,
                    format!("connection.{name}.{key} holds a password"),
                    "write ${env:NAME} or ${file:/run/secrets/name}, so that the secret stays out of the file",
                );
            }
        }
        let port = table.integer("port").and_then(|at| u16::try_from(at.value).ok());
        let connection = Connection {
            name: name.to_owned(),
            service: string("service"),
            url: string("url"),
            host: string("host"),
            port,
            user: string("user"),
            database: string("database"),
            password: string("password"),
            tls: table.word("tls", &TLS_WORDS).map(|at| at.value),
            root_certificate: string("root_certificate").map(PathBuf::from),
        };
        if connection.url.is_none() && connection.host.is_none() && connection.service.is_none() {
            table.fault(table.line(), format!("connection.{name} needs a url, a host or a service"));
        }
        connection
    }

    /// A connection that was given as a URL; references in it are resolved too.
    pub fn of_url(name: &str, url: &str) -> Connection {
        Connection {
            name: name.to_owned(),
            service: None,
            url: Some(url.to_owned()),
            host: None,
            port: None,
            user: None,
            database: None,
            password: None,
            tls: None,
            root_certificate: None,
        }
    }

    /// Reads the references and takes the URL apart.
    pub fn resolve(&self) -> Result<Dsn> {
        let named = |e: Error| e.context(format!("connection {}", self.name));
        let field = |value: &Option<String>| value.as_deref().map(expand).transpose().map_err(named);
        let mut parts = UrlParts::default();
        if let Some(url) = field(&self.url)? {
            parts = UrlParts::parse(&url).map_err(named)?;
        }
        if let Some(service) = field(&self.service)? {
            parts = parts.or(UrlParts::service(&service).map_err(named)?);
        }
        let host = field(&self.host)?.or(parts.host).unwrap_or_else(|| "localhost".into());
        let user = field(&self.user)?.or(parts.user).unwrap_or_else(|| "postgres".into());
        let local = host.starts_with('/') || matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
        let password = field(&self.password)?
            .map(Secret::new)
            .or(parts.password)
            .or_else(|| std::env::var("PGPASSWORD").ok().filter(|p| !p.is_empty()).map(Secret::new));
        let port = self.port.or(parts.port).unwrap_or(5432);
        let database = field(&self.database)?.or(parts.database).unwrap_or_else(|| user.clone());
        let password = match password {
            None => libpq::password(&host, port, &database, &user).map_err(named)?,
            given => given,
        };
        Ok(Dsn {
            port,
            database,
            tls: self.tls.or(parts.tls).unwrap_or(if local { Tls::Disable } else { Tls::VerifyFull }),
            root_certificate: self.root_certificate.clone().or(parts.root_certificate),
            host,
            user,
            password,
        })
    }
}

impl Dsn {
    /// What may be shown: never the password.
    pub fn display(&self) -> String {
        format!("postgres://{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

/// What is published there would be gone with the session, or stand among the server's or the ledger's own.
fn reserved_schema(name: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with("pg_") || matches!(name.as_str(), "information_schema" | "daymill")
}

#[derive(Clone, Copy)]
enum Kind {
    Sqlite,
    Postgres,
    Parquet,
}

impl Target {
    /// The SQLite file of the ledger, if it is one.
    pub fn ledger_file(&self) -> Option<&Path> {
        match self {
            Target::Sqlite { path } | Target::Parquet { ledger: path, .. } => Some(path),
            Target::Postgres { .. } => None,
        }
    }

    pub fn read(name: &str, root: &Path, table: &Table<'_>) -> Option<Target> {
        let kinds = [("sqlite", Kind::Sqlite), ("postgres", Kind::Postgres), ("parquet", Kind::Parquet)];
        match table.word("kind", &kinds).map(|at| at.value) {
            Some(Kind::Sqlite) => table.string("path").map(|at| Target::Sqlite { path: root.join(at.value) }),
            Some(Kind::Parquet) => table.string("path").map(|at| {
                let path = root.join(at.value);
                Target::Parquet { ledger: path.join("_daymill.sqlite"), path }
            }),
            Some(Kind::Postgres) => {
                let named = table.string("schema");
                if let Some(at) = named.as_ref().filter(|at| reserved_schema(&at.value)) {
                    table.fault_hint(
                        at.line,
                        format!("target.{name}.schema {:?} is one of the server's own or of the ledger", at.value),
                        "publish to a schema of your own, as \"public\"",
                    );
                }
                let schema = named.map_or_else(|| "public".to_owned(), |at| at.value);
                table.string("connection").map(|at| Target::Postgres { connection: at.value, schema })
            }
            None => None,
        }
    }
}

#[derive(Default)]
struct UrlParts {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<Secret>,
    database: Option<String>,
    tls: Option<Tls>,
    root_certificate: Option<PathBuf>,
}

impl UrlParts {
    /// `postgres://user:password@host:port/database?host=/run&sslmode=...`. The messages never quote the URL.
    fn parse(url: &str) -> Result<UrlParts> {
        let wrong = |what: &str| {
            Error::config(format!("the URL {what}")).hint("write it as postgres://user@host:5432/database")
        };
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or_else(|| wrong("does not begin with postgres://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        if database.contains('@') {
            return Err(wrong("has a / before its @; write it as %2F"));
        }
        let (login, address) = authority.rsplit_once('@').map_or((None, authority), |(login, a)| (Some(login), a));
        let mut parts = UrlParts::default();
        if let Some(login) = login {
            let (user, password) = login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)));
            if let Some(password) = password {
                // The text as it stands in the URL is as secret as what it decodes to.
                Secret::new(password.to_owned());
                parts.password = Some(Secret::new(decode(password).ok_or_else(|| wrong("has a bad % escape"))?));
            }
            parts.user = Some(decode(user).ok_or_else(|| wrong("has a bad % escape"))?).filter(|u| !u.is_empty());
        }
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| wrong("has a bad port"))?))
            }
            _ => (address, None),
        };
        parts.port = port;
        parts.host = decode(host.trim_matches(['[', ']'])).filter(|h| !h.is_empty());
        parts.database = decode(database).filter(|d| !d.is_empty());
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = decode(value).ok_or_else(|| wrong("has a bad % escape"))?;
            parts.set(key, value).map_err(|what| match what {
                // What stands there may be the rest of a password.
                Wrong::Unknown => wrong("has an unknown parameter")
                    .hint(format!("known are {KNOWN}; a ? or # in a password is written %3F or %23")),
                Wrong::Value(what) => wrong(&format!("has {what}")),
            })?;
        }
        Ok(parts)
    }

    /// What a service of libpq says.
    fn service(name: &str) -> Result<UrlParts> {
        let mut parts = UrlParts::default();
        for (key, value) in libpq::service(name)? {
            parts.set(&key, value).map_err(|what| {
                let error = Error::config(match what {
                    Wrong::Unknown => format!("the service {name:?} has the parameter {key:?}, which is not known"),
                    Wrong::Value(what) => format!("the service {name:?} has {what}"),
                });
                error.hint(format!("known are {KNOWN}"))
            })?;
        }
        Ok(parts)
    }

    /// These, and what they leave out from others.
    fn or(self, others: UrlParts) -> UrlParts {
        UrlParts {
            host: self.host.or(others.host),
            port: self.port.or(others.port),
            user: self.user.or(others.user),
            database: self.database.or(others.database),
            password: self.password.or(others.password),
            tls: self.tls.or(others.tls),
            root_certificate: self.root_certificate.or(others.root_certificate),
        }
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), Wrong> {
        match key {
            "host" => self.host = Some(value),
            "port" => self.port = Some(value.parse().map_err(|_| Wrong::Value("a bad port"))?),
            "user" => self.user = Some(value),
            "password" => self.password = Some(Secret::new(value)),
            "dbname" => self.database = Some(value),
            "sslrootcert" => self.root_certificate = Some(value.into()),
            "sslmode" => {
                let word = TLS_WORDS.iter().find(|(word, _)| *word == value);
                let modes = "an sslmode other than disable, require, verify-ca, verify-full";
                self.tls = Some(word.ok_or(Wrong::Value(modes))?.1);
            }
            _ => return Err(Wrong::Unknown),
        }
        Ok(())
    }
}

const KNOWN: &str = "host, port, user, password, dbname, sslmode and sslrootcert";

/// What is wrong with a parameter.
enum Wrong {
    Unknown,
    Value(&'static str),
}

/// Whether a value of the file carries a password itself, beside or inside its `${...}` references.
fn holds_password(value: &str, is_password: bool) -> bool {
    // Each reference becomes one character that no URL has; the defaults are looked at on their own.
    const REFERENCE: char = '\u{1}';
    let (mut bare, mut defaults, mut rest) = (String::new(), Vec::new(), value);
    while let Some((before, after)) = rest.split_once("${") {
        let (reference, tail) = after.split_once('}').unwrap_or((after, ""));
        bare.push_str(before);
        bare.push(REFERENCE);
        defaults.extend(reference.split_once(":-").map(|(_, default)| default));
        rest = tail;
    }
    bare.push_str(rest);
    let literal = |text: &str| text.chars().any(|c| c != REFERENCE);
    if is_password {
        return literal(&bare) || defaults.iter().any(|default| !default.is_empty());
    }
    let inside =
        |url: &str| UrlParts::parse(url).ok().and_then(|parts| parts.password).is_some_and(|p| literal(p.expose()));
    inside(&bare) || defaults.iter().any(|default| inside(default))
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let parts = UrlParts::parse("postgres://me:p%40ss@db.example:5433/ops?sslmode=require").unwrap();
        assert_eq!(
            (parts.host.as_deref(), parts.port, parts.user.as_deref()),
            (Some("db.example"), Some(5433), Some("me"))
        );
        assert_eq!(parts.password.unwrap().expose(), "p@ss");
        assert_eq!(parts.tls, Some(Tls::Require));
        let socket = UrlParts::parse("postgres:///ops?host=/var/run/postgresql").unwrap();
        assert_eq!(socket.host.as_deref(), Some("/var/run/postgresql"));
    }

    #[test]
    fn a_password_in_the_file_is_seen_and_a_reference_is_not() {
        for url in ["postgres://a:pw@h/d", "postgres://${env:U:-u}:pw@h/d", "${env:X:-postgres://a:pw@h/d}"] {
            assert!(holds_password(url, false), "{url}");
        }
        for url in ["postgres://a@h/d", "postgres://a:${env:P}@h/d", "${env:X}", "${env:X:-postgres://a@h/d}"] {
            assert!(!holds_password(url, false), "{url}");
        }
        assert!(holds_password("pw", true) && holds_password("${env:X:-pw}", true));
        assert!(!holds_password("${env:X}", true) && !holds_password("${env:X:-}", true));
    }

    #[test]
    fn the_messages_never_quote_the_url() {
        for url in [
            "mysql://a:topsecret@h/d",
            "postgres://a:topsecret@h:port/d",
            "postgres://a:topsecret@h/d?zip=1",
            "postgres://a:12/topsecret@h/d",
        ] {
            let error = UrlParts::parse(url).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("topsecret"));
        }
    }
}
