//! `ledger`: whether it is whole, and where its chain ends.

use serde_json::json;

use crate::cli::{Global, Ledger, Output};
use crate::error::{Error, Result};
use crate::ledger::chain::{self, Head};
use crate::ledger::verify::{Verdict, verify};
use crate::ledger::{self, Db, history};
use crate::load::readback;
use crate::output;
use crate::project::Project;

pub fn ledger(global: &Global, command: &Ledger) -> Result<u8> {
    let (project, target) = super::project(global)?;
    super::runtime()?.block_on(async {
        let Some(mut db) = ledger::open_to_read(&project, &target).await? else {
            return Err(Error::usage(format!("{target} has no ledger yet")));
        };
        let done = match command {
            Ledger::Head => head(global, &mut db).await,
            Ledger::Verify { rows, head } => {
                // One snapshot: runs that go on meanwhile must not look like tampering.
                db.script(if db.is_postgres() { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" } else { "BEGIN" })
                    .await?;
                check(global, &mut db, (&project, &target), rows.as_deref(), head.as_deref()).await
            }
        };
        db.close().await;
        done
    })
}

async fn head(global: &Global, db: &mut Db) -> Result<u8> {
    let head = chain::head(db).await?.ok_or_else(|| Error::config("the ledger's chain has no end"))?;
    match global.output {
        Output::Json => output::json(serde_json::to_value(&head).unwrap_or_default())?,
        Output::Human => output::result(&head.to_string())?,
    }
    Ok(0)
}

async fn check(
    global: &Global,
    db: &mut Db,
    (project, target): (&Project, &str),
    job: Option<&str>,
    anchor: Option<&str>,
) -> Result<u8> {
    let anchor = anchor.map(parse).transpose()?;
    let mut verdict = verify(db, anchor.as_ref()).await?;
    let mut read = 0;
    if let Some(name) = job {
        for row in history::intervals(db, project, target, name).await? {
            let Some(published) = row.published else { continue };
            if published.columns.is_empty() {
                // Published by an older Daymill, which did not say what it had hashed.
                continue;
            }
            read += 1;
            let found = readback::interval(db, &published.table, &published.columns, row.start).await;
            if !found.as_ref().is_ok_and(|found| *found == published.content_hash) {
                let why = found.err().map(|e| format!(" ({})", e.message)).unwrap_or_default();
                verdict.faults.push(format!(
                    "{name} {}: the rows of {} are not those that run {} published{why}",
                    row.label, published.table, published.run_id
                ));
            }
        }
    }
    show(global, &verdict, anchor.is_some(), job.map(|job| (job, read)))
}

fn parse(text: &str) -> Result<Head> {
    let parsed = text.split_once(':').and_then(|(n, hash)| Some(Head { n: n.parse().ok()?, hash: hash.to_owned() }));
    parsed.filter(|head| head.n >= 0 && head.hash.len() == 64).ok_or_else(|| {
        Error::usage(format!("--head {text:?} is not a head"))
            .hint("as a run or `daymill ledger head` printed it: N:HASH")
    })
}

fn show(global: &Global, verdict: &Verdict, anchored: bool, rows: Option<(&str, usize)>) -> Result<u8> {
    if global.output == Output::Json {
        let mut value = serde_json::to_value(verdict).unwrap_or_default();
        value["rows_read_back"] = json!(rows.map(|(_, n)| n));
        output::json(value)?;
    }
    if !verdict.faults.is_empty() {
        let mut error = Error::data("the ledger is not whole");
        error.causes = verdict.faults.clone();
        return Err(error.hint("the first fault is where it was changed; restore that part from a backup"));
    }
    if global.output == Output::Human {
        let mut lines = vec![
            format!(
                "{} records and {} published intervals are as they were written",
                verdict.records, verdict.intervals
            ),
            format!("head {}", verdict.head),
        ];
        if let Some((job, n)) = rows {
            lines.push(format!("the rows of {n} intervals of {job} are those that were published"));
        }
        lines.push(match anchored {
            true => "tamper-evident back to the head that was given".into(),
            false => "tamper-evident only back to a head that you wrote down elsewhere; pass it with --head".into(),
        });
        output::result(&lines.join("\n"))?;
    }
    Ok(0)
}
