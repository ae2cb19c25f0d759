//! The profile of a column of text: how often each word stands there.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

use super::distinct::Distinct;

/// Up to so many different words all are counted exactly; beyond, the most frequent are.
const MOST: usize = 1000;
/// How many of them go on when there are more.
const GO_ON: usize = 500;
/// A cache of this many words stands before the counts of a batch.
const SLOTS: usize = 256;
/// A view holds so many bytes of text itself; what is longer lies elsewhere.
const INLINE: u32 = 12;

type Counts<K> = HashMap<K, u64, foldhash::fast::RandomState>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Words {
    pub values: u64,
    pub nulls: u64,
    counts: HashMap<String, u64>,
    /// Values of words that are not counted one by one.
    others: u64,
    distinct: Distinct,
}

impl Words {
    /// Of a column of one batch; none when it is not of text or of truths.
    pub fn of(column: &dyn Array) -> Option<Words> {
        let mut words = Words { nulls: column.null_count() as u64, ..Words::default() };
        words.values = column.len() as u64 - words.nulls;
        match column.data_type() {
            DataType::Boolean => {
                let hits = column.as_boolean().iter().flatten().filter(|value| *value).count() as u64;
                words.take("true", hits);
                words.take("false", words.values - hits);
            }
            DataType::Utf8View => words.count(column.as_string_view()),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Dictionary(..) => {
                words.count(cast(column, &DataType::Utf8View).ok()?.as_string_view());
            }
            _ => return None,
        }
        Some(words)
    }

    fn count(&mut self, column: &StringViewArray) {
        let mut short: Counts<u128> = Counts::default();
        let mut long: Counts<&str> = Counts::default();
        let mut cache = [(0u128, 0u64); SLOTS];
        for (row, view) in column.views().iter().enumerate() {
            if column.is_null(row) {
                continue;
            }
            if *view as u32 > INLINE {
                *long.entry(column.value(row)).or_default() += 1;
                continue;
            }
            let slot = ((*view as u64 ^ (*view >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize;
            let (word, count) = &mut cache[slot];
            if *word == *view {
                *count += 1;
                continue;
            }
            if *count > 0 {
                *short.entry(*word).or_default() += *count;
            }
            (*word, *count) = (*view, 1);
        }
        for (word, count) in cache.into_iter().filter(|(_, count)| *count > 0) {
            *short.entry(word).or_default() += count;
        }
        let short: Vec<([u8; 16], u64)> = short.into_iter().map(|(view, count)| (view.to_le_bytes(), count)).collect();
        let short = short.iter().map(|(view, count)| {
            let length = (u32::from(view[0]).min(INLINE)) as usize;
            (std::str::from_utf8(&view[4..4 + length]).unwrap_or_default(), *count)
        });
        let mut all: Vec<(&str, u64)> = short.chain(long).collect();
        if all.len() > MOST {
            // Words that will not be kept need no memory of their own.
            all.select_nth_unstable_by(GO_ON, |(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
            let beyond = all.split_off(GO_ON);
            self.others += beyond.iter().map(|(_, count)| count).sum::<u64>();
            beyond.iter().for_each(|(word, _)| self.distinct.add(xxhash_rust::xxh3::xxh3_64(word.as_bytes())));
        }
        all.into_iter().for_each(|(word, count)| self.take(word, count));
    }

    fn take(&mut self, word: &str, count: u64) {
        if count > 0 {
            self.distinct.add(xxhash_rust::xxh3::xxh3_64(word.as_bytes()));
            *self.counts.entry(word.to_owned()).or_default() += count;
        }
    }

    fn keep(&mut self) {
        if self.counts.len() <= MOST {
            return;
        }
        let kept: HashMap<String, u64> =
            self.most(GO_ON).into_iter().map(|(word, count)| (word.to_owned(), count)).collect();
        self.others = self.values - kept.values().sum::<u64>();
        self.counts = kept;
    }

    /// Adds the profile of other rows of the same column.
    pub fn merge(&mut self, other: Words) {
        self.values += other.values;
        self.nulls += other.nulls;
        self.others += other.others;
        self.distinct.merge(other.distinct);
        for (word, count) in other.counts {
            *self.counts.entry(word).or_default() += count;
        }
        self.keep();
    }

    /// The most frequent words, those first; equally frequent ones by name.
    pub fn most(&self, most: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.counts.iter().map(|(word, count)| (word.as_str(), *count)).collect();
        all.sort_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
        all.truncate(most);
        all
    }

    /// How many different words there are: exact up to 1000.
    pub fn distinct(&self) -> u64 {
        if self.others == 0 { self.counts.len() as u64 } else { self.distinct.estimate().max(self.counts.len() as u64) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Int64Array, StringArray};

    fn words(values: &[&str]) -> Words {
        Words::of(&StringViewArray::from(values.to_vec())).unwrap()
    }

    #[test]
    fn words_are_counted_in_whatever_parts_they_come() {
        let long = "a word of more than twelve bytes";
        let values: Vec<String> = (0..10_000u64)
            .map(|i| match (i * 7919) % 400 {
                0 => long.to_owned(),
                1 => String::new(),
                2 => "zwölf\u{0}bytes".to_owned(),
                n => format!("w{n}"),
            })
            .collect();
        let texts: Vec<&str> = values.iter().map(String::as_str).collect();
        let whole = words(&texts);
        assert_eq!((whole.values, whole.distinct(), whole.others), (10_000, 400, 0));
        assert!(whole.counts.values().all(|count| *count == 25));
        for word in [long, "", "zwölf\u{0}bytes", "w399"] {
            assert_eq!(whole.counts[word], 25, "{word:?}");
        }
        let mut sum = Words::default();
        texts.chunks(777).rev().for_each(|part| sum.merge(words(part)));
        assert_eq!(sum, whole);
        let sent: Words = serde_json::from_str(&serde_json::to_string(&whole).unwrap()).unwrap();
        assert_eq!(sent, whole);
        assert_eq!(Words::of(&StringArray::from(texts)).unwrap(), whole);
    }

    #[test]
    fn the_most_frequent_of_many_words_stay_and_every_value_is_accounted_for() {
        let values: Vec<String> =
            (0..50_000u64).map(|i| if i % 5 == 0 { "often".to_owned() } else { format!("id {i}") }).collect();
        let mut sum = Words::default();
        for part in values.chunks(4096) {
            sum.merge(words(&part.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        assert_eq!(sum.most(1), [("often", 10_000)]);
        assert!(sum.counts.len() <= MOST);
        assert_eq!(sum.counts.values().sum::<u64>() + sum.others, 50_000);
        assert!((sum.distinct() as f64 / 40_001.0 - 1.0).abs() < 0.05, "{}", sum.distinct());
    }

    #[test]
    fn truths_and_what_is_missing() {
        let truths = Words::of(&BooleanArray::from(vec![Some(true), None, Some(true), Some(false)])).unwrap();
        assert_eq!((truths.values, truths.nulls, truths.most(9)), (3, 1, vec![("true", 2), ("false", 1)]));
        let none = Words::of(&StringViewArray::from(vec![None::<&str>, None])).unwrap();
        assert_eq!((none.values, none.nulls, none.distinct()), (0, 2, 0));
        assert_eq!(Words::of(&Int64Array::from(vec![1])), None);
    }
}
