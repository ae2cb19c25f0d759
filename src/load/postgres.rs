//! Rows into Postgres by binary COPY.

use sqlx::PgConnection;

use super::Path;
use super::table::TableSchema;
use crate::error::Result;
use crate::faults;
use crate::identifier::Identifier;
use crate::postgres::classify;
use crate::postgres::encode::{HEADER, TRAILER};
use crate::postgres::patience::Backend;

/// Where the rows go first.
pub fn destination(table: &TableSchema, schema: &Identifier, path: Path) -> String {
    match path {
        Path::Direct => format!("{schema}.{}", table.name),
        Path::Staged => "pg_temp.daymill_staging".into(),
    }
}

/// One COPY of one batch, and how many rows it took: a COPY costs a round trip, and between two of them the run can still stop cleanly.
pub async fn copy(
    (connection, backend): (&mut PgConnection, &Backend),
    table: &TableSchema,
    destination: &str,
    rows: &[u8],
) -> Result<u64> {
    let statement = format!("COPY {destination} ({}) FROM STDIN (FORMAT binary)", table.column_list());
    let failed = |e: sqlx::Error| classify::error(&e).context(format!("loading {}", table.name.name()));
    let mut copy = backend.answered(connection.copy_in_raw(&statement)).await.map_err(failed)?;
    for piece in [HEADER, rows, &TRAILER] {
        faults::at("mid-copy");
        if let Err(error) = backend.answered(copy.send(piece)).await {
            if crate::postgres::classify::silent(&error) {
                return Err(failed(error));
            }
            // The server's own word says more than the broken pipe.
            return Err(match backend.answered(copy.finish()).await {
                Err(cause) => failed(cause),
                Ok(_) => failed(error),
            });
        }
    }
    backend.answered(copy.finish()).await.map_err(failed)
}
