//! Everything about Postgres that is not one stage's own: connecting, what an error means, the binary COPY codec.

pub mod classify;
pub mod decode;
pub mod encode;
mod nodelay;
pub mod patience;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection as _, PgConnection};

use crate::error::{Error, Result};
use crate::project::connection::{Dsn, Tls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a session whose meaning does not depend on the server's or the role's settings.
pub async fn connect(dsn: &Dsn, application: &str) -> Result<PgConnection> {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&dsn.host)
        .port(dsn.port)
        .username(&dsn.user)
        .database(&dsn.database)
        .application_name(&application.chars().take(63).collect::<String>())
        .ssl_mode(match dsn.tls {
            Tls::Disable => PgSslMode::Disable,
            Tls::Require => PgSslMode::Require,
            Tls::VerifyCa => PgSslMode::VerifyCa,
            Tls::VerifyFull => PgSslMode::VerifyFull,
        })
        .options([
            ("search_path", "pg_catalog,public,pg_temp"),
            ("TimeZone", "UTC"),
            ("DateStyle", "ISO"),
            ("client_encoding", "UTF8"),
            ("idle_in_transaction_session_timeout", "0"),
            ("lock_timeout", "60s"),
            ("statement_timeout", "0"),
            ("default_transaction_isolation", "read committed"),
        ])
        .disable_statement_logging();
    if dsn.host.starts_with('/') {
        options = options.socket(&dsn.host);
    }
    if let Some(password) = &dsn.password {
        options = options.password(password.expose());
    }
    if let Some(path) = &dsn.root_certificate {
        options = options.ssl_root_cert(path);
    }
    let attempt = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await;
    let mut connection = match attempt {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(classify::error(&error).context(format!("cannot connect to {}", dsn.display()))),
        Err(_) => {
            return Err(Error::new(crate::error::Class::Unavailable, format!("cannot connect to {}", dsn.display()))
                .cause(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))
                .transient());
        }
    };
    nodelay::set();
    // The server notices a dead client within a statement, so its locks go quickly. Some services forbid it.
    let _ = sqlx::query("SET client_connection_check_interval = '500ms'").execute(&mut connection).await;
    Ok(connection)
}
