//! What a load will need of its target, asked without making anything.

use super::table::TableSchema;
use crate::error::Result;
use crate::ledger::{self, claim};
use crate::project::Project;

pub async fn check_target(project: &Project, target: &str, job: &str, table: &mut TableSchema) -> Result<()> {
    if ledger::is_new(project, target) {
        return Ok(());
    }
    if let Some(mut db) = ledger::open_to_read(project, target).await? {
        claim::require(&mut db, project, job).await?;
        claim::require_table(&mut db, &table.name, job).await?;
        db.close().await;
    }
    let mut db = ledger::connect(project, target, "daymill/check", false).await?;
    ledger::require_primary(&mut db, target).await?;
    let checked = super::of(project, target).check(&mut db, table).await;
    db.close().await;
    checked
}
