//! Whether the ledger is whole: the chain from its first record to its head, and whether the ledger's tables say what the
//! chain recorded.

use serde::Serialize;
use serde_json::Value as Json;

use super::chain::{self, Head, ORIGIN};
use super::told::Told;
use super::{Db, tables_agree};
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
    #[serde(skip)]
    pub told: Told,
}

/// Walks the whole chain. `anchor` is a head that was written down elsewhere.
pub async fn verify(db: &mut Db, anchor: Option<&Head>) -> Result<Verdict> {
    let recorded = chain::head(db).await?.unwrap_or(Head { n: 0, hash: "missing".into() });
    let mut walk = Walk {
        last: Head { n: 0, hash: ORIGIN.into() },
        anchored: anchor.is_none_or(|a| a.n == 0),
        anchor,
        faults: Vec::new(),
        told: Told::default(),
    };
    loop {
        let sql = format!(
            "SELECT CAST(e.n AS TEXT), e.hash, e.body, e.job, e.run_id FROM {{events}} e WHERE e.n > $1 ORDER BY e.n LIMIT {PAGE}"
        );
        let rows = db.fetch(&sql, &[walk.last.n.into()]).await?;
        if rows.iter().any(|row| !walk.step(row)) || rows.len() < PAGE {
            break;
        }
    }
    let Walk { last, anchored, mut faults, told, .. } = walk;
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
    let intervals = tables_agree::all(db, &told, &mut faults).await?;
    Ok(Verdict { records: last.n, head: last, intervals, faults, told })
}

/// The chain up to a record.
struct Walk<'a> {
    last: Head,
    anchor: Option<&'a Head>,
    anchored: bool,
    faults: Vec<String>,
    told: Told,
}

impl Walk<'_> {
    /// Takes the next record; false when the chain is broken there.
    fn step(&mut self, row: &[Option<String>]) -> bool {
        let text = |i: usize| row[i].as_deref().unwrap_or_default();
        let (hash, body) = (text(1), text(2));
        let n: i64 = text(0).parse().unwrap_or(-1);
        if n != self.last.n + 1 {
            self.faults.push(format!("record {} is missing: after {} comes {n}", self.last.n + 1, self.last.n));
            return false;
        }
        if chain::link(n, &self.last.hash, body) != hash {
            let begins = body.chars().take(120).collect::<String>();
            self.faults.push(format!("record {n} is not what was written: {begins}"));
            return false;
        }
        if let Some(anchor) = self.anchor.filter(|a| a.n == n) {
            self.anchored = true;
            if anchor.hash != hash {
                let written = &anchor.hash;
                self.faults
                    .push(format!("record {n} has the hash {hash}, and the head written down then was {written}"));
                return false;
            }
        }
        self.last = Head { n, hash: hash.to_owned() };
        let event: Json = serde_json::from_str(body).unwrap_or_default();
        let (job, run) = (event["job"].as_str().unwrap_or_default(), event["run"].as_str());
        if job != text(3) || run != row[4].as_deref() {
            self.faults.push(format!("record {n} is filed under another job or run than it speaks of"));
        }
        self.told.take(&event);
        true
    }
}

/// What the ledger holds that no run wrote.
pub fn nonsense(what: &str) -> Error {
    Error::data(format!("the ledger holds {what}, which no run wrote")).hint("run: daymill ledger verify")
}
