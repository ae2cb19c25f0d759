//! What the records of the chain say, taken together: which rows stand, and what became of every attempt.

use super::quarantine;
use crate::run_state::RunState;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

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
    pub profiles: Option<String>,
    pub quarantine: Option<Json>,
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

impl Told {
    /// Takes the next record.
    pub fn take(&mut self, event: &Json) {
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
        if state == RunState::Succeeded.name() {
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
                profiles: own("profiles"),
                quarantine: event.get("quarantine").cloned(),
                adopted,
            };
            self.published.insert(key.clone(), publication);
        } else if state == RunState::Skipped.name()
            && let Some(publication) = self.published.get_mut(&key)
        {
            // A skip has looked at the sources too, and its look is what the ledger keeps.
            publication.inputs = own("inputs");
            publication.fingerprint = event.get("inputs").map(|_| event["fingerprint"].clone());
        }
        // What was pruned is not there to be compared any more.
        if state == quarantine::PRUNED {
            let before = text(&event["before"]);
            let pruned = self.published.iter_mut().filter(|(other, _)| other.0 == key.0 && other.2 <= before);
            pruned.for_each(|(_, publication)| publication.quarantine = None);
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
            "adopted" => attempt.state = own("state").filter(|state| state != RunState::Running.name()),
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
