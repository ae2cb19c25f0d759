//! Whether the tables of the ledger say what its chain says: intervals, attempts, and which job a table belongs to.
//!
//! Not covered: when an interval was published and how long it took, the times of an attempt, the label that is shown, the
//! plans of backfills, and which project a job belongs to. None of them decides which rows stand.

use std::collections::BTreeMap;

use super::told::{Attempt, Publication, Told, cell};
use super::{Db, profiles, quarantine, told};
use crate::digest;
use crate::error::Result;
use crate::identifier::Identifier;
use crate::run_state::RunState;

const PAGE: usize = 10_000;

/// Compares every table; the number of published intervals.
pub async fn all(db: &mut Db, told: &Told, faults: &mut Vec<String>) -> Result<usize> {
    let intervals = intervals(db, told, faults).await?;
    runs(db, told, faults).await?;
    owners(db, told, faults).await?;
    Ok(intervals)
}

async fn intervals(db: &mut Db, told: &Told, faults: &mut Vec<String>) -> Result<usize> {
    let sql = "SELECT job, interval_start, interval_end, run_id, CAST(rows_published AS TEXT), content_hash, label, table_name, columns, \
               fingerprint, inputs, CAST(generation AS TEXT) FROM {intervals} ORDER BY job, interval_start";
    let rows = db.fetch(sql, &[]).await?;
    let (mut seen, mut published) = (0, 0);
    for row in &rows {
        let key = (cell(row, 0), cell(row, 1), cell(row, 2));
        let place = format!("{} {}", key.0, cell(row, 6));
        let generation = told.generations.get(&key);
        if generation.is_some_and(|generation| cell(row, 11) != generation.to_string()) {
            faults.push(format!("{place}: the ledger counts {} attempts, and the chain another number", cell(row, 11)));
        }
        if row[3].is_none() {
            continue;
        }
        published += 1;
        match told.published.get(&key) {
            Some(publication) => {
                seen += 1;
                let mut wrong = differences(row, publication);
                wrong.extend(beside(db, &key, publication).await);
                if !wrong.is_empty() {
                    faults.push(format!("{place}: the ledger and the chain do not agree on {}", wrong.join(", ")));
                }
            }
            None => faults.push(format!("{place}: the ledger says it was published, and the chain does not")),
        }
    }
    if seen < told.published.len() {
        faults.push(format!("{} intervals of the chain are not in the ledger any more", told.published.len() - seen));
    }
    Ok(published)
}

/// What of the tables beside the rows of an interval is not as the chain has it.
async fn beside(db: &mut Db, key: &told::Key, said: &Publication) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    if let Some(said) = &said.profiles {
        let found = profiles::of_interval(db, key).await.map(|found| profiles::digest(&found));
        wrong.extend((found.as_ref().ok() != Some(said)).then_some("the profiles"));
    }
    if let Some(said) = &said.quarantine {
        let found = quarantine::found(db, key).await;
        wrong.extend((found.as_ref().ok() != Some(said)).then_some("the rows that were put aside"));
    }
    wrong
}

/// What of an interval is not as the chain has it.
fn differences(row: &[Option<String>], said: &Publication) -> Vec<&'static str> {
    let json = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
    let mut wrong = Vec::new();
    let mut compare = |what: &'static str, same: bool| wrong.extend((!same).then_some(what));
    compare("the run", cell(row, 3) == said.run_id);
    compare("the number of rows", cell(row, 4) == said.rows.to_string());
    compare("the rows' hash", cell(row, 5) == said.content);
    compare("the table", said.table.as_ref().is_none_or(|table| cell(row, 7) == *table));
    compare("the columns", said.columns.as_ref().is_none_or(|columns| json(cell(row, 8)) == json(columns.clone())));
    compare("what made the rows", said.fingerprint.as_ref().is_none_or(|made| json(cell(row, 9)) == *made));
    compare(
        "what was read",
        said.inputs.as_ref().is_none_or(|inputs| digest::hex(cell(row, 10).as_bytes()) == *inputs),
    );
    wrong
}

async fn runs(db: &mut Db, told: &Told, faults: &mut Vec<String>) -> Result<()> {
    let (mut after, mut seen) = (String::new(), 0);
    loop {
        let sql = format!(
            "SELECT run_id, job, interval_start, interval_end, CAST(generation AS TEXT), state, host, CAST(pid AS TEXT), model, \
             CAST(rows_published AS TEXT), content_hash, report FROM {{runs}} WHERE run_id > $1 ORDER BY run_id LIMIT {PAGE}"
        );
        let rows = db.fetch(&sql, &[after.as_str().into()]).await?;
        for row in &rows {
            let run = cell(row, 0);
            match told.attempts.get(&run) {
                Some(attempt) => {
                    seen += 1;
                    let wrong = attempt_differences(row, attempt);
                    if !wrong.is_empty() {
                        faults
                            .push(format!("run {run}: the ledger and the chain do not agree on {}", wrong.join(", ")));
                    }
                }
                None => faults.push(format!("run {run}: the chain has never heard of it")),
            }
            after = run;
        }
        if rows.len() < PAGE {
            break;
        }
    }
    if seen < told.attempts.len() {
        faults.push(format!("{} attempts of the chain are not in the ledger any more", told.attempts.len() - seen));
    }
    Ok(())
}

fn attempt_differences(row: &[Option<String>], said: &Attempt) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    let mut compare = |what: &'static str, same: bool| wrong.extend((!same).then_some(what));
    compare("the job", cell(row, 1) == said.job);
    compare("the interval", (cell(row, 2), cell(row, 3)) == said.interval);
    let state = cell(row, 5);
    match &said.state {
        Some(ended) => compare("the state", state == *ended),
        // It never told its end.
        None => compare("the state", matches!(RunState::named(&state), Some(RunState::Running | RunState::Abandoned))),
    }
    compare("the attempt's number", said.generation.is_none_or(|n| cell(row, 4) == n.to_string()));
    compare("the host", said.host.as_ref().is_none_or(|host| cell(row, 6) == *host));
    compare("the process", said.pid.is_none_or(|pid| cell(row, 7) == pid.to_string()));
    compare("the model", said.host.is_none() || row[8] == said.model);
    if said.state.as_deref() == Some(RunState::Succeeded.name()) {
        compare("the number of rows", said.rows.is_none_or(|rows| cell(row, 9) == rows.to_string()));
        compare("the rows' hash", said.content.as_ref().is_none_or(|content| cell(row, 10) == *content));
    }
    compare("the report", said.report.as_ref().is_none_or(|hash| digest::hex(cell(row, 11).as_bytes()) == *hash));
    wrong
}

async fn owners(db: &mut Db, told: &Told, faults: &mut Vec<String>) -> Result<()> {
    let rows = db.fetch("SELECT table_name, job FROM {tables}", &[]).await?;
    let claimed: BTreeMap<String, String> = rows.iter().map(|row| (cell(row, 0), cell(row, 1))).collect();
    let mut wrong: Vec<String> = Vec::new();
    for ((job, ..), publication) in &told.published {
        let Some(table) = &publication.table else { continue };
        let name = Identifier::new(table).map(|table| db.dialect().table_key(&table));
        if name.ok().and_then(|name| claimed.get(&name)) != Some(job) {
            wrong.push(format!("the table {table} is not recorded as the job {job}'s, which publishes to it"));
        }
    }
    wrong.dedup();
    faults.extend(wrong);
    Ok(())
}
