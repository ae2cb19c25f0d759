//! Rows into Postgres by binary COPY.

use sqlx::PgConnection;

use super::Path;
use super::table::TableSchema;
use crate::error::Result;
use crate::faults;
use crate::identifier::Identifier;
use crate::postgres::classify;
use crate::postgres::encode::{HEADER, TRAILER};

/// Where the rows go first.
pub fn destination(table: &TableSchema, schema: &Identifier, path: Path) -> String {
    match path {
        Path::Direct => format!("{schema}.{}", table.name),
        Path::Staged => "pg_temp.daymill_staging".into(),
    }
}

/// One COPY of one batch: a COPY costs a round trip, and between two of them the run can still stop cleanly.
pub async fn copy(connection: &mut PgConnection, table: &TableSchema, destination: &str, rows: &[u8]) -> Result<()> {
    let statement = format!("COPY {destination} ({}) FROM STDIN (FORMAT binary)", table.column_list());
    let failed = |e: sqlx::Error| classify::error(&e).context(format!("loading {}", table.name.name()));
    let mut copy = connection.copy_in_raw(&statement).await.map_err(failed)?;
    for piece in [HEADER, rows, &TRAILER] {
        faults::at("mid-copy");
        if let Err(error) = copy.send(piece).await {
            // The server's own word says more than the broken pipe.
            return Err(match copy.finish().await {
                Err(cause) => failed(cause),
                Ok(_) => failed(error),
            });
        }
    }
    copy.finish().await.map_err(failed)?;
    Ok(())
}
