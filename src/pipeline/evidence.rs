//! What a run knows of its rows before they are published: how many there are, their content, their keys, and what the looks at
//! them found. Parts are made on the threads that score, batch by batch, and add up.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde::{Deserialize, Serialize};

use super::keys::DuplicateKeys;
use crate::digest::ContentHash;
use crate::error::Result;
use crate::interval::Interval;
use crate::project::Job;
use crate::quality::checks::{BadRow, Checks, Columns, Found, Sifted, Verdict};
use crate::quality::profile::{ColumnProfile, Looking, Side};
use crate::quality::within::{Strays, Within};
use crate::score::contract::Counts;

/// What is looked at in every batch.
#[derive(Debug, Default)]
pub struct Looks {
    checks: Checks,
    profiles: Looking,
    within: Option<Within>,
}

impl Looks {
    /// Of a job, against the columns that it publishes.
    pub fn new(
        job: &Job,
        interval: &Interval,
        (published, columns): (&Schema, Columns<'_>),
        profiles: Looking,
    ) -> Result<Looks> {
        Ok(Looks {
            checks: Checks::new(job, interval, columns)?,
            profiles,
            within: Within::new(job, interval, published)?,
        })
    }

    /// Profiles of scores alone.
    pub fn scores(scores: &[String]) -> Looks {
        let profiles = Looking::new(scores.iter().map(|name| (Side::Score, name.clone())));
        Looks { profiles, ..Looks::default() }
    }

    /// Puts rows aside before they are scored.
    pub fn before(&self, batch: RecordBatch) -> Result<Sifted> {
        self.checks.before(batch)
    }

    /// Puts rows aside for their scores; what the checks found in the others.
    pub fn after(&self, scored: RecordBatch) -> Result<Sifted> {
        self.checks.after(scored)
    }

    /// What is seen in one batch, but for what the checks found and what only the encoder and the model know: `scored` with all
    /// columns of the transform and the outputs, and what is published of it.
    pub fn at(&self, scored: &RecordBatch, published: &RecordBatch) -> Result<Partial> {
        Ok(Partial {
            published: published.num_rows() as u64,
            profiles: self.profiles.at(scored),
            strays: self.within.as_ref().map(|within| within.look(published)).unwrap_or_default(),
            ..Partial::default()
        })
    }
}

/// What some of the rows add to the evidence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// Rows that came out of the transform, and rows that are published.
    pub transformed: u64,
    pub published: u64,
    /// What the model's contract dropped and imputed.
    pub counts: Counts,
    pub content: ContentHash,
    pub keys: Vec<u128>,
    /// What the checks found, and the rows that they put aside.
    pub checks: Found,
    pub profiles: Vec<ColumnProfile>,
    pub strays: Strays,
}

impl Partial {
    /// Adds what later rows add. The keys are left to the caller, since all of a day may not fit into memory.
    fn merge(&mut self, later: Partial) {
        self.transformed += later.transformed;
        self.published += later.published;
        self.counts.merge(later.counts);
        self.content.merge(&later.content);
        self.strays.merge(later.strays);
        self.checks.merge(later.checks);
        add(&mut self.profiles, later.profiles, |mine: &mut ColumnProfile, profile| mine.merge(profile));
    }
}

/// Adds a list to one of the same length; an empty one takes it as it is.
fn add<T>(mine: &mut Vec<T>, later: Vec<T>, merge: impl Fn(&mut T, T)) {
    match mine.is_empty() {
        true => *mine = later,
        false => mine.iter_mut().zip(later).for_each(|(mine, later)| merge(mine, later)),
    }
}

/// Everything that a run knows of its rows.
#[derive(Default)]
pub struct Evidence {
    looks: Arc<Looks>,
    seen: Partial,
    keys: DuplicateKeys,
}

impl Evidence {
    pub fn new(looks: Arc<Looks>) -> Evidence {
        Evidence { looks, ..Evidence::default() }
    }

    /// Takes the part of the next batch.
    pub fn add(&mut self, mut part: Partial) -> Result<()> {
        self.keys.add(&std::mem::take(&mut part.keys))?;
        self.seen.merge(part);
        self.looks.profiles.hear(&self.seen.profiles);
        Ok(())
    }

    /// The sums of all parts; without keys.
    pub fn seen(&self) -> &Partial {
        &self.seen
    }

    pub fn content_hash(&self) -> String {
        self.seen.content.hex()
    }

    pub fn verdicts(&mut self) -> Vec<Verdict> {
        self.looks.checks.verdicts(&mut self.seen.checks.tallies)
    }

    /// No more rows were put aside than the job allows.
    pub fn require_budget(&self) -> Result<()> {
        self.looks.checks.require_budget(&self.seen.checks, self.seen.transformed)
    }

    /// The rows that were put aside.
    pub fn bad_rows(&self) -> &[BadRow] {
        &self.seen.checks.rows
    }

    /// Every row has its time in the interval, when the job says which time that is.
    pub fn require_times(&self) -> Result<()> {
        self.looks.within.as_ref().map_or(Ok(()), |within| within.verdict(&self.seen.strays))
    }

    /// Whether a key stands on two rows. The keys are gone afterwards.
    pub fn repeated_key(&mut self) -> Result<bool> {
        self.keys.repeat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float32Array, Int64Array};

    #[test]
    fn parts_add_up_and_can_be_sent() {
        let batch = |ids: Vec<i64>, scores: Vec<Option<f32>>| {
            let id: ArrayRef = Arc::new(Int64Array::from(ids));
            let score: ArrayRef = Arc::new(Float32Array::from(scores));
            RecordBatch::try_from_iter([("id", id), ("p", score)]).unwrap()
        };
        let at = |looks: &Looks, batch: RecordBatch| looks.at(&batch, &batch).unwrap();
        let looks = Looks::scores(&["p".to_owned()]);
        let parts = [
            at(&looks, batch(vec![1, 2], vec![Some(0.25), None])),
            at(&looks, batch(vec![], vec![])),
            at(&looks, batch(vec![3], vec![Some(0.75)])),
        ];
        let mut evidence = Evidence::new(Arc::new(looks));
        for (part, keys) in parts.into_iter().zip([vec![7, 8], vec![], vec![7u128 << 100]]) {
            let part = Partial { keys, ..part };
            let text = serde_json::to_string(&part).unwrap();
            let sent: Partial = serde_json::from_str(&text).unwrap();
            assert_eq!(sent, part);
            evidence.add(sent).unwrap();
        }
        let seen = evidence.seen();
        let scores = seen.profiles[0].numbers().unwrap();
        assert_eq!((seen.published, scores.values, scores.nulls, scores.mean()), (3, 2, 1, Some(0.5)));
        assert!(!evidence.repeated_key().unwrap());
    }
}
