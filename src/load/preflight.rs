//! What a load will need of its target, asked without making anything.

use sqlx::PgConnection;

use super::relation::{self, Relation};
use super::table::{TableSchema, existing};
use crate::error::{Error, Result};
use crate::ledger::{self, Db};
use crate::postgres::classify;
use crate::project::{Project, Target};

pub async fn check_target(project: &Project, target: &str, table: &TableSchema) -> Result<()> {
    if let Target::Sqlite { path } = &project.targets[target]
        && !path.exists()
    {
        return Ok(());
    }
    let mut db = ledger::connect(project, target, "daymill/check", false).await?;
    ledger::require_primary(&mut db, target).await?;
    let columns = existing(&mut db, &table.name).await?;
    if let Db::Postgres { connection, schema, .. } = &mut db {
        grants(connection, schema.name(), table.name.name(), !columns.is_empty()).await?;
    }
    let examined = if columns.is_empty() { Ok(Relation::default()) } else { relation::examine(&mut db, table).await };
    db.close().await;
    examined?;
    table.agrees_with(&columns)
}

async fn grants(connection: &mut PgConnection, schema: &str, table: &str, exists: bool) -> Result<()> {
    let sql = "SELECT what FROM (VALUES \
        ('CREATE on the database, or the schema daymill with USAGE and CREATE', \
            CASE WHEN to_regnamespace('daymill') IS NULL THEN has_database_privilege(current_database(), 'CREATE') \
                 ELSE has_schema_privilege('daymill', 'USAGE') AND has_schema_privilege('daymill', 'CREATE') END), \
        ('USAGE and CREATE on the schema ' || $1, has_schema_privilege($1, 'USAGE') AND ($3 OR has_schema_privilege($1, 'CREATE'))), \
        ('SELECT, INSERT and DELETE on ' || $2, CASE WHEN $3 THEN has_table_privilege(format('%I.%I', $1, $2), 'SELECT') \
            AND has_table_privilege(format('%I.%I', $1, $2), 'INSERT') AND has_table_privilege(format('%I.%I', $1, $2), 'DELETE') ELSE true END) \
        ) AS need (what, has) WHERE NOT has";
    let query = sqlx::query_scalar(sql).bind(schema).bind(table).bind(exists);
    let missing: Vec<String> = query.fetch_all(connection).await.map_err(|e| classify::error(&e))?;
    if missing.is_empty() {
        return Ok(());
    }
    let mut error = Error::config("the target's role lacks grants");
    error.causes = missing;
    Err(error.hint("sql/grants.sql has the statements"))
}
