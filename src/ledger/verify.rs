//! Whether the ledger is whole: the chain from its first record to its head, and whether the ledger's tables say what the
//! chain recorded.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value as Json;

use super::chain::{self, Head, ORIGIN};
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

/// Job, start and end of an interval.
pub type Key = (String, String, String);

/// What the chain says of an interval whose rows stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    pub run_id: String,
    pub rows: u64,
    pub content: String,
    pub model: Option<String>,
    pub table: Option<String>,
    /// Records of earlier versions say nothing of what follows.
    pub columns: Option<String>,
    pub fingerprint: Option<Json>,
    pub inputs: Option<String>,
    /// It was published before there was a chain.
    pub adopted: bool,
}

/// What the chain says of an attempt.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    pub job: String,
    pub interval: (String, String),
    pub generation: Option<i64>,
    pub host: Option<String>,
    pub pid: Option<i64>,
    pub model: Option<String>,
    pub state: Option<String>,
    pub rows: Option<u64>,
    pub content: Option<String>,
    pub report: Option<String>,
}

/// Everything that the chain says.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub published: BTreeMap<Key, Publication>,
    pub attempts: BTreeMap<String, Attempt>,
    /// Every table and start of an interval that was ever published.
    pub ever: BTreeSet<(String, String)>,
    /// The last attempt's number of each interval.
    pub generations: BTreeMap<Key, i64>,
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
        self.told.hear(&event);
        true
    }
}

impl Told {
    fn hear(&mut self, event: &Json) {
        let own = |name: &str| event[name].as_str().map(str::to_owned);
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&event["job"]), text(&event["interval"][0]), text(&event["interval"][1]));
        let state = text(&event["event"]);
        let adopted = event["adopted"] == true;
        if let Some(generation) = event["generation"].as_i64() {
            // An attempt that was overtaken may tell its end after the next one began.
            let last = self.generations.entry(key.clone()).or_default();
            *last = generation.max(*last);
        }
        if state == "succeeded" {
            self.ever.extend(own("table").map(|table| (table, key.1.clone())));
            let publication = Publication {
                run_id: text(&event["run"]),
                rows: event["rows"].as_u64().unwrap_or_default(),
                content: text(&event["content"]),
                model: own("model"),
                table: own("table"),
                columns: event.get("columns").map(Json::to_string),
                fingerprint: event.get("columns").map(|_| event["fingerprint"].clone()),
                inputs: own("inputs"),
                adopted,
            };
            self.published.insert(key.clone(), publication);
        } else if state == "skipped"
            && let Some(publication) = self.published.get_mut(&key)
        {
            // A skip has looked at the sources too, and its look is what the ledger keeps.
            publication.inputs = own("inputs");
            publication.fingerprint = event.get("inputs").map(|_| event["fingerprint"].clone());
        }
        let Some(run) = own("run") else { return };
        let attempt = self.attempts.entry(run).or_default();
        (attempt.job, attempt.interval) = (key.0, (key.1, key.2));
        attempt.generation = event["generation"].as_i64().or(attempt.generation);
        match state.as_str() {
            "started" => {
                (attempt.host, attempt.pid, attempt.model) = (own("host"), event["pid"].as_i64(), own("model"));
            }
            // From before there was a chain; one that was running has yet to tell its end.
            "adopted" => attempt.state = own("state").filter(|state| state != "running"),
            state => {
                attempt.state = Some(state.to_owned());
                (attempt.rows, attempt.content) = (event["rows"].as_u64(), own("content"));
                attempt.report = own("report");
            }
        }
    }
}

/// A cell that must be there.
pub fn cell(row: &[Option<String>], i: usize) -> String {
    row.get(i).cloned().flatten().unwrap_or_default()
}

/// What the ledger holds that no run wrote.
pub fn nonsense(what: &str) -> Error {
    Error::data(format!("the ledger holds {what}, which no run wrote")).hint("run: daymill ledger verify")
}
