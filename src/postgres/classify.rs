//! What a database error means: its class, so its exit code, and whether the whole attempt may be tried again.

use crate::error::{Class, Error};

/// SQLSTATEs after which the whole attempt may be tried again. 57014 is among them because this program cancels nothing
/// and sets no statement timeout: somebody else did.
const TRANSIENT: [&str; 14] = [
    "08000", "08001", "08003", "08004", "08006", "40001", "40P01", "55P03", "53300", "57P01", "57P02", "57P03",
    "57014", "26000",
];

pub fn error(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(database) => {
            let state = database.code().unwrap_or_default().into_owned();
            let mut found = Error::new(class(&state), database.message()).cause(format!("SQLSTATE {state}"));
            if let Some(postgres) = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                found.causes.extend(postgres.detail().map(str::to_owned));
                found.hint = postgres.hint().map(str::to_owned);
            }
            found.transient = TRANSIENT.contains(&state.as_str());
            if state == "42501" {
                found.hint = Some("grant it; `daymill check` lists what a job needs".into());
            }
            found
        }
        sqlx::Error::Tls(cause) => tls(cause),
        // A certificate that is refused comes as bad data inside an error of reading.
        sqlx::Error::Io(cause) if cause.kind() == std::io::ErrorKind::InvalidData => tls(cause),
        sqlx::Error::Configuration(cause) => Error::config("the connection cannot be configured").cause(cause),
        sqlx::Error::Io(cause) => Error::new(Class::Unavailable, "the connection failed").cause(cause).transient(),
        sqlx::Error::Protocol(cause) => Error::new(Class::Unavailable, "the connection broke").cause(cause).transient(),
        sqlx::Error::PoolClosed | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => {
            Error::new(Class::Unavailable, error.to_string()).transient()
        }
        other => Error::new(Class::Unavailable, "the server's answer makes no sense").cause(other),
    }
}

fn tls(cause: impl std::fmt::Display) -> Error {
    Error::config("the TLS handshake failed")
        .cause(cause)
        .hint("check the server's certificate, and root_certificate and tls of the connection")
}

fn class(state: &str) -> Class {
    // A server may send anything in place of five characters.
    match state.get(..2).unwrap_or_default() {
        "22" | "23" => Class::Data,
        "53" if state == "53300" => Class::Unavailable,
        "53" | "58" => Class::Io,
        "08" | "40" | "55" | "57" => Class::Unavailable,
        _ => Class::Config,
    }
}

/// Whatever answered does not take the settings that a session starts with, as a server does.
pub fn refuses_settings(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if database.message().contains("unsupported startup parameter"))
}

/// The server does not answer any more, so nothing else can be asked on this connection.
pub fn silent(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(cause) if cause.kind() == std::io::ErrorKind::TimedOut)
}
