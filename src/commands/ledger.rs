//! `ledger`: whether it is whole, and where its chain ends.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::cli::{Global, Ledger, Output};
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::interval::instant;
use crate::ledger::chain::{self, Head};
use crate::ledger::told::Publication;
use crate::ledger::verify::{Verdict, verify};
use crate::ledger::{self, Db, history};
use crate::output;
use crate::project::Project;
use crate::warehouse::{self, readback};

pub fn ledger(global: &Global, command: &Ledger) -> Result<u8> {
    let (project, target) = super::shared::project(global)?;
    super::shared::runtime()?.block_on(async {
        let Some(mut db) = ledger::open_to_read(&project, &target).await? else {
            return Err(Error::usage(format!("{target} has no ledger yet")));
        };
        let done = match command {
            Ledger::Head => head(global, &mut db).await,
            Ledger::Verify { rows, head } => {
                // One snapshot: runs that go on meanwhile must not look like tampering.
                db.script(db.dialect().begin_snapshot()).await?;
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
    let rows = match job {
        Some(name) => read_back(db, (project, target), name, &verdict).await.map(Some),
        None => Ok(None),
    };
    // Of a ledger that is not whole the rows may not be found at all.
    let rows = rows.or_else(|error| match verdict.faults.is_empty() {
        true => Err(error),
        false => {
            verdict.faults.push(error.message);
            Ok(None)
        }
    })?;
    show(global, &verdict, anchor.is_some(), job.zip(rows.as_ref()))
}

/// How the published rows of a job stand.
#[derive(Default)]
struct ReadBack {
    intervals: usize,
    faults: Vec<String>,
}

/// Reads every published row of a job: each interval must have the hash that the chain recorded, its lineage columns what
/// the chain says, and there must be no other rows.
async fn read_back(
    db: &mut Db,
    (project, target): (&Project, &str),
    name: &str,
    verdict: &Verdict,
) -> Result<ReadBack> {
    let (mut found, place) = (ReadBack::default(), warehouse::of(project, target));
    let mut adopted = BTreeSet::new();
    let mut tables: BTreeMap<String, BTreeMap<DateTime<Utc>, (String, &Publication)>> = BTreeMap::new();
    for row in history::intervals(db, project, target, name, None).await? {
        let Some(published) = row.published else { continue };
        let (label, table) = (&row.label, &published.table);
        let key = (name.to_owned(), instant(row.start), instant(row.end));
        // What is in the chain is compared; that the ledger agrees with it, the walk of the chain has found out.
        let Some(said) = verdict.told.published.get(&key) else { continue };
        if published.columns.is_empty() {
            match said.adopted {
                // Published by an older Daymill, which did not say what it had hashed, nor where.
                true => drop(adopted.insert(row.start)),
                false => found.faults.push(format!("{name} {label}: the ledger does not say what was hashed")),
            }
            continue;
        }
        found.intervals += 1;
        let read = async |db: &mut Db| readback::interval(&*place, db, table, &published.columns, row.start).await;
        let hash = apart(db, read).await;
        if !hash.as_ref().is_ok_and(|hash| *hash == said.content) {
            let why = hash.err().map(|e| format!(" ({})", e.message)).unwrap_or_default();
            let run = &said.run_id;
            found
                .faults
                .push(format!("{name} {label}: the rows of {table} are not those that run {run} published{why}"));
        }
        tables.entry(table.clone()).or_default().insert(row.start, (row.label.clone(), said));
    }
    for (table, intervals) in tables {
        let lineage = match apart(db, async |db| place.lineage(db, &Identifier::new(&table)?).await).await {
            Ok(lineage) => lineage,
            Err(error) => {
                found.faults.push(format!("the rows of {table} cannot be told apart: {}", error.message));
                continue;
            }
        };
        for rows in lineage {
            let n = rows.rows;
            match intervals.get(&rows.start) {
                // Of an older Daymill, or left behind when the job went to another table.
                None if adopted.contains(&rows.start)
                    || verdict.told.ever.contains(&(table.clone(), instant(rows.start))) => {}
                None => found.faults.push(format!("{n} rows of {table} with interval_start {} were published by no run", instant(rows.start))),
                Some((label, said)) if rows.run_id != said.run_id || rows.model != said.model => found
                    .faults
                    .push(format!("{name} {label}: {n} rows of {table} carry another run or model than the one that published them")),
                Some(_) => {}
            }
        }
    }
    Ok(found)
}

/// A query that may fail, without an end to the snapshot that it is in.
async fn apart<T>(db: &mut Db, query: impl AsyncFnOnce(&mut Db) -> Result<T>) -> Result<T> {
    db.script("SAVEPOINT apart").await?;
    let answer = query(db).await;
    db.script(if answer.is_ok() { "RELEASE SAVEPOINT apart" } else { "ROLLBACK TO SAVEPOINT apart" }).await?;
    answer
}

fn parse(text: &str) -> Result<Head> {
    let parsed = text.split_once(':').and_then(|(n, hash)| Some(Head { n: n.parse().ok()?, hash: hash.to_owned() }));
    parsed.filter(|head| head.n >= 0 && head.hash.len() == 64).ok_or_else(|| {
        Error::usage(format!("--head {text:?} is not a head"))
            .hint("as a run or `daymill ledger head` printed it: N:HASH")
    })
}

fn show(global: &Global, verdict: &Verdict, anchored: bool, rows: Option<(&str, &ReadBack)>) -> Result<u8> {
    if global.output == Output::Json {
        let mut value = serde_json::to_value(verdict).unwrap_or_default();
        value["rows_read_back"] = json!(rows.map(|(_, rows)| rows.intervals));
        value["row_faults"] = json!(rows.map(|(_, rows)| &rows.faults));
        output::json(value)?;
    }
    if !verdict.faults.is_empty() {
        let mut error = Error::data("the ledger is not whole");
        error.causes = verdict.faults.clone();
        error.causes.extend(rows.iter().flat_map(|(_, rows)| rows.faults.clone()));
        return Err(error.hint("the first fault is where it was changed; restore that part from a backup"));
    }
    if let Some((job, rows)) = rows.filter(|(_, rows)| !rows.faults.is_empty()) {
        let mut error =
            Error::data(format!("the ledger is whole, and rows of {job} were changed after they were published"));
        error.causes = rows.faults.clone();
        return Err(error.hint(format!(
            "run the intervals again, which replaces their rows: daymill backfill {job} --only all with --from and --to; rows that \
             no run published are for you to delete"
        )));
    }
    if global.output == Output::Human {
        let mut lines = vec![
            format!(
                "{} records and {} published intervals are as they were written",
                verdict.records, verdict.intervals
            ),
            format!("head {}", verdict.head),
        ];
        if let Some((job, rows)) = rows {
            lines.push(format!("the rows of {} intervals of {job} are those that were published", rows.intervals));
        }
        lines.push(match anchored {
            true => "tamper-evident back to the head that was given".into(),
            false => "tamper-evident only back to a head that you wrote down elsewhere; pass it with --head".into(),
        });
        output::result(&lines.join("\n"))?;
    }
    Ok(0)
}
