//! What a load will need of its target, asked without making anything.

use super::table::TableSchema;
use crate::error::Result;
use crate::ledger;
use crate::project::Project;

pub async fn check_target(project: &Project, target: &str, table: &mut TableSchema) -> Result<()> {
    if ledger::is_new(project, target) {
        return Ok(());
    }
    let mut db = ledger::connect(project, target, "daymill/check", false).await?;
    ledger::require_primary(&mut db, target).await?;
    let checked = super::of(project, target).check(&mut db, table).await;
    db.close().await;
    checked
}
