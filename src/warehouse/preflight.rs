//! What a load will need of its target, asked without making anything.

use super::relation::{self, Relation};
use super::table::{TableSchema, existing};
use super::words;
use crate::error::Result;
use crate::ledger;
use crate::project::Project;

pub async fn check_target(project: &Project, target: &str, table: &TableSchema) -> Result<()> {
    if ledger::is_new(project, target) {
        return Ok(());
    }
    let mut db = ledger::connect(project, target, "daymill/check", false).await?;
    ledger::require_primary(&mut db, target).await?;
    let columns = existing(&mut db, &table.name).await?;
    words(&db).require_grants(&mut db, &table.name, !columns.is_empty()).await?;
    let examined = if columns.is_empty() { Ok(Relation::default()) } else { relation::examine(&mut db, table).await };
    db.close().await;
    examined?;
    table.agrees_with(&columns)
}
