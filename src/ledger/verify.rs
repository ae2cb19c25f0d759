//! Whether the ledger is whole: the chain from its first record to its head, and whether what the ledger says of
//! each interval is what the chain recorded.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Db;
use super::chain::{self, Head, ORIGIN};
use crate::error::{Error, Result};

/// Records read from the ledger at a time.
const PAGE: usize = 10_000;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    pub records: i64,
    pub head: Head,
    pub intervals: usize,
    /// What is wrong, the first broken record first.
    pub faults: Vec<String>,
}

/// What an event says was published.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Publication {
    run_id: String,
    rows: u64,
    content: String,
}

/// Walks the whole chain. `anchor` is a head that was written down elsewhere.
pub async fn verify(db: &mut Db, anchor: Option<&Head>) -> Result<Verdict> {
    let recorded = chain::head(db).await?.unwrap_or(Head { n: 0, hash: "missing".into() });
    let mut last = Head { n: 0, hash: ORIGIN.into() };
    let mut faults = Vec::new();
    let mut published: BTreeMap<(String, String, String), Publication> = BTreeMap::new();
    let mut anchored = anchor.is_none_or(|a| a.n == 0);
    'pages: loop {
        let sql = format!(
            "SELECT CAST(e.n AS TEXT), e.hash, e.body FROM {{events}} e WHERE e.n > $1 ORDER BY e.n LIMIT {PAGE}"
        );
        let rows = db.fetch(&sql, &[last.n.into()]).await?;
        for row in &rows {
            let (n, hash, body) = (
                row[0].clone().unwrap_or_default(),
                row[1].clone().unwrap_or_default(),
                row[2].clone().unwrap_or_default(),
            );
            let n: i64 = n.parse().map_err(|_| Error::defect("a record without a number"))?;
            if n != last.n + 1 {
                faults.push(format!("record {} is missing: after {} comes {n}", last.n + 1, last.n));
                break 'pages;
            }
            if chain::link(n, &last.hash, &body) != hash {
                faults.push(format!(
                    "record {n} is not what was written: {}",
                    body.chars().take(120).collect::<String>()
                ));
                break 'pages;
            }
            if let Some(anchor) = anchor.filter(|a| a.n == n) {
                anchored = true;
                if anchor.hash != hash {
                    faults.push(format!(
                        "record {n} has the hash {hash}, and the head written down then was {}",
                        anchor.hash
                    ));
                    break 'pages;
                }
            }
            last = Head { n, hash };
            note(&body, &mut published);
        }
        if rows.len() < PAGE {
            break;
        }
    }
    if faults.is_empty() && recorded != last {
        faults.push(format!(
            "the chain ends at record {}, and its head says {}: records after {} are missing",
            last.n, recorded.n, last.n
        ));
    }
    if faults.is_empty() && !anchored {
        faults.push(format!(
            "the chain ends at record {}, before the head written down elsewhere ({})",
            last.n,
            anchor.map_or(0, |a| a.n)
        ));
    }
    let intervals = compare(db, &published, &mut faults).await?;
    Ok(Verdict { records: last.n, head: last, intervals, faults })
}

fn note(body: &str, published: &mut BTreeMap<(String, String, String), Publication>) {
    let Ok(event) = serde_json::from_str::<serde_json::Value>(body) else { return };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    if event["event"] == "succeeded" {
        let key = (text(&event["job"]), text(&event["interval"][0]), text(&event["interval"][1]));
        let publication = Publication {
            run_id: text(&event["run"]),
            rows: event["rows"].as_u64().unwrap_or_default(),
            content: text(&event["content"]),
        };
        published.insert(key, publication);
    }
}

/// The table of intervals must say what the chain says.
async fn compare(
    db: &mut Db,
    published: &BTreeMap<(String, String, String), Publication>,
    faults: &mut Vec<String>,
) -> Result<usize> {
    let rows = db
        .fetch(
            "SELECT job, interval_start, interval_end, run_id, CAST(rows_published AS TEXT), content_hash, label FROM {intervals} \
             WHERE run_id IS NOT NULL ORDER BY job, interval_start",
            &[],
        )
        .await?;
    let mut seen = 0;
    for row in &rows {
        let text = |i: usize| row[i].clone().unwrap_or_default();
        let found = Publication { run_id: text(3), rows: text(4).parse().unwrap_or_default(), content: text(5) };
        match published.get(&(text(0), text(1), text(2))) {
            Some(publication) if *publication == found => seen += 1,
            Some(publication) => faults.push(format!(
                "{} {}: the ledger says run {} with {} rows, and the chain says run {} with {}",
                text(0),
                text(6),
                found.run_id,
                found.rows,
                publication.run_id,
                publication.rows
            )),
            None => faults.push(format!(
                "{} {}: the ledger says it was published, and the chain does not",
                text(0),
                text(6)
            )),
        }
    }
    if seen < published.len() && faults.is_empty() {
        faults.push(format!("{} intervals of the chain are not in the ledger any more", published.len() - seen));
    }
    Ok(rows.len())
}
