//! Which project a job of the warehouse belongs to, and which job a table. Two projects may have jobs of one name, and two
//! jobs a table of one name; their rows are not each other's.

use super::{Db, Value};
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::project::Project;

/// A job that another project publishes is refused. Who may not read whose it is, and only reads, is not.
pub async fn require(db: &mut Db, project: &Project, job: &str) -> Result<()> {
    match owner(db, job).await {
        Ok(Some(owner)) => agree(project, job, &owner).map(|_| ()),
        Ok(None) => Ok(()),
        Err(error) if error.causes.iter().any(|cause| cause.contains("42501")) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The same, and the job is this project's from now on.
pub async fn claim(db: &mut Db, project: &Project, job: &str) -> Result<()> {
    let own: Value = project.id.clone().unwrap_or_default().into();
    match owner(db, job).await? {
        None => {
            let sql = "INSERT INTO {jobs} (job, project) VALUES ($1, $2) ON CONFLICT (job) DO NOTHING";
            db.execute(sql, &[job.into(), own]).await?;
            // Another project may have been first.
            require(db, project, job).await
        }
        Some(owner) if agree(project, job, &owner)? => Ok(()),
        Some(_) => {
            let sql = "UPDATE {jobs} SET project = $2 WHERE job = $1 AND project = ''";
            db.execute(sql, &[job.into(), own]).await?;
            require(db, project, job).await
        }
    }
}

async fn owner(db: &mut Db, job: &str) -> Result<Option<String>> {
    let rows = db.fetch("SELECT project FROM {jobs} WHERE job = $1", &[job.into()]).await?;
    Ok(rows.into_iter().next().and_then(|mut row| row[0].take()))
}

/// Whether the ids are the same; a job that was claimed without an id may get one.
fn agree(project: &Project, job: &str, owner: &str) -> Result<bool> {
    let own = project.id.as_deref().unwrap_or_default();
    if owner == own {
        return Ok(true);
    }
    if owner.is_empty() {
        return Ok(false);
    }
    let mine = if own.is_empty() { "has no id".to_owned() } else { format!("has the id {own:?}") };
    Err(Error::config(format!(
        "the job {job} in this warehouse belongs to another project, {owner:?}; {} {mine}",
        project.root.join(crate::project::FILE).display()
    ))
    .hint(format!(
        "give the job another name, or the target a database of its own; if this is the same project, write id = {owner:?} at the \
         top of its daymill.toml"
    )))
}

/// Records that a table is a job's.
pub async fn claim_table(db: &mut Db, table: &Identifier, job: &str) -> Result<()> {
    let name: Value = db.dialect().table_key(table).into();
    let found = db.fetch("SELECT job FROM {tables} WHERE table_name = $1", std::slice::from_ref(&name)).await?;
    if found.is_empty() {
        let sql = "INSERT INTO {tables} (table_name, job) VALUES ($1, $2) ON CONFLICT (table_name) DO NOTHING";
        db.execute(sql, &[name, job.into()]).await?;
    }
    // Another job may have claimed the table since this run looked.
    require_table(db, table, job).await
}

/// A table that some other job publishes to is refused.
pub async fn require_table(db: &mut Db, table: &Identifier, job: &str) -> Result<()> {
    let name = db.dialect().table_key(table);
    let owner = db.fetch("SELECT job FROM {tables} WHERE table_name = $1", &[name.into()]).await?;
    match owner.first().and_then(|row| row[0].as_deref()) {
        Some(owner) if owner != job => Err(Error::config(format!(
            "the table {} belongs to the job {owner}",
            table.name()
        ))
        .hint(
            "give this job another load.table: a run replaces its interval, and two jobs would replace each other's",
        )),
        _ => Ok(()),
    }
}
