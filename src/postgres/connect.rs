//! Opens a session: how long it may take, TLS, and what every session is set to.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection as _, PgConnection, Row as _};

use crate::error::{Error, Result};
use crate::project::connection::{Dsn, Tls};

const SEARCH_PATH: &str = "pg_catalog,public,pg_temp";
const CONNECT_HINT: &str = "is the server up, and are the host, the port, the role and the database right?";
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
            ("search_path", SEARCH_PATH),
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
        let bytes = crate::plain_file::read(path, crate::plain_file::SETTINGS);
        let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let held = text.map(|text| text.contains("-----BEGIN CERTIFICATE-----"));
        if !held.as_ref().is_ok_and(|held| *held) {
            return Err(Error::config(format!("the TLS root_certificate {} cannot be used", path.display())).cause(
                held.err().map_or_else(|| "it holds no certificate in PEM form".to_owned(), |e| e.to_string()),
            ));
        }
        options = options.ssl_root_cert(path);
    }
    let attempt = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await;
    let mut connection = match attempt {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) if super::classify::refuses_settings(&error) => return Err(pooled(dsn)),
        Ok(Err(error)) => {
            let mut error = super::classify::error(&error).context(format!("cannot connect to {}", dsn.display()));
            error.hint = error.hint.or_else(|| Some(CONNECT_HINT.into()));
            return Err(error);
        }
        Err(_) => {
            return Err(Error::new(crate::error::Class::Unavailable, format!("cannot connect to {}", dsn.display()))
                .cause(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))
                .hint(CONNECT_HINT)
                .transient());
        }
    };
    super::nodelay::set();
    keeps_session(&mut connection, dsn).await?;
    // The server notices a dead client within a statement, so its locks go quickly. Some services forbid it.
    let limit = "SELECT set_config('transaction_timeout', '0', false) WHERE current_setting('transaction_timeout', true) IS NOT NULL";
    let _ = sqlx::raw_sql(limit).execute(&mut connection).await;
    let _ = sqlx::query("SET client_connection_check_interval = '500ms'").execute(&mut connection).await;
    Ok(connection)
}

/// Locks, snapshots and settings belong to a session. A pooler that lends the server's sessions out drops the settings.
async fn keeps_session(connection: &mut PgConnection, dsn: &Dsn) -> Result<()> {
    let shown =
        sqlx::raw_sql("SHOW search_path").fetch_one(connection).await.map_err(|e| super::classify::error(&e))?;
    match shown.try_get::<String, _>(0) {
        Ok(path) if path == SEARCH_PATH => Ok(()),
        _ => Err(pooled(dsn)),
    }
}

fn pooled(dsn: &Dsn) -> Error {
    Error::config(format!("cannot use {}: the settings of a session do not reach the server", dsn.display()))
        .cause("a connection pooler, as PgBouncer, stands between; its clients share sessions, so a lock would guard nothing")
        .hint("connect to the server itself, not to its pooler")
}
