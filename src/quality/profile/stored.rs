//! A profile as the ledger keeps it: the figures, and the distribution in at most 128 groups of neighbouring bins, each of which
//! holds about as many values as the others, or one value that is that frequent.

use serde::{Deserialize, Serialize};

use super::column::{ColumnProfile, Side, Values};
use super::numbers::Numbers;
use super::words::Words;

/// Groups of a column of numbers, and words of a column of text.
const MOST_GROUPS: usize = 128;
const MOST_WORDS: usize = 64;
const QUANTILES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// Values from `low` to just below `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    pub low: f32,
    pub high: f32,
    pub count: u64,
}

/// One row of the ledger's table of profiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredProfile {
    pub side: Side,
    pub name: String,
    /// Rows, those with NULL and NaN included.
    pub rows: u64,
    pub nulls: u64,
    pub nans: u64,
    pub infinities: u64,
    pub zeros: u64,
    pub distinct: Option<u64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub mean: Option<f64>,
    /// The sum of the squared distances from the mean.
    pub squares: Option<f64>,
    /// Those of 1, 5, 25, 50, 75, 95 and 99 %.
    pub quantiles: Vec<f32>,
    pub distribution: Distribution,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Option<Written>", into = "Option<Written>")]
pub enum Distribution {
    Groups(Vec<Group>),
    /// The most frequent words, and how many values are others.
    Words(Vec<(String, u64)>, u64),
    None,
}

/// How a distribution is written: three numbers for each group, in two or three kilobytes.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    /// low, high, count; a `high` of null is the next `low`.
    Groups(Vec<(f32, Option<f32>, u64)>),
    Words {
        words: Vec<(String, u64)>,
        others: u64,
    },
}

impl StoredProfile {
    pub fn of(profile: &ColumnProfile) -> StoredProfile {
        let empty = StoredProfile {
            side: profile.side,
            name: profile.name.clone(),
            rows: 0,
            nulls: profile.nulls(),
            nans: 0,
            infinities: 0,
            zeros: 0,
            distinct: None,
            min: None,
            max: None,
            mean: None,
            squares: None,
            quantiles: Vec::new(),
            distribution: Distribution::None,
        };
        match &profile.values {
            Values::Other(values, nulls) => StoredProfile { rows: values + nulls, ..empty },
            Values::Words(words) => StoredProfile {
                rows: words.values + words.nulls,
                distinct: Some(words.distinct()),
                distribution: of_words(words),
                ..empty
            },
            Values::Numbers(numbers) => StoredProfile {
                rows: numbers.rows(),
                nans: numbers.nans,
                infinities: numbers.infinities,
                zeros: numbers.zeros,
                min: numbers.min(),
                max: numbers.max(),
                mean: numbers.mean().filter(|mean| mean.is_finite()),
                squares: numbers.mean().map(|_| numbers.squares()).filter(|squares| squares.is_finite()),
                quantiles: numbers.quantiles(&QUANTILES),
                distribution: Distribution::Groups(groups(numbers)),
                ..empty
            },
        }
    }

    /// Values that are neither NULL nor NaN nor infinite.
    pub fn values(&self) -> u64 {
        self.rows - self.nulls - self.nans - self.infinities
    }

    pub fn deviation(&self) -> Option<f64> {
        Some((self.squares? / self.values() as f64).sqrt())
    }

    /// The distribution as JSON; nothing when there is none.
    pub fn written(&self) -> Option<String> {
        let written: Option<Written> = self.distribution.clone().into();
        serde_json::to_string(&written?).ok()
    }

    /// Whether the counts can be those of any rows, and the figures are numbers.
    pub fn is_sound(&self) -> bool {
        let odd = [self.nulls, self.nans, self.infinities].into_iter().try_fold(0u64, u64::checked_add);
        let Some(values) = odd.and_then(|odd| self.rows.checked_sub(odd)) else { return false };
        let held = match &self.distribution {
            Distribution::Groups(groups) => groups.iter().try_fold(0u64, |sum, group| sum.checked_add(group.count)),
            Distribution::Words(words, others) => words.iter().try_fold(*others, |sum, (_, n)| sum.checked_add(*n)),
            Distribution::None => Some(values),
        };
        let figures = [self.min, self.max, self.mean, self.squares];
        held == Some(values) && self.zeros <= values && figures.iter().flatten().all(|figure| figure.is_finite())
    }
}

impl From<Distribution> for Option<Written> {
    fn from(distribution: Distribution) -> Option<Written> {
        Some(match distribution {
            Distribution::None => return None,
            Distribution::Words(words, others) => Written::Words { words, others },
            Distribution::Groups(groups) => {
                let next = groups.iter().skip(1).map(|group| Some(group.low)).chain([None]);
                let one = |(group, next): (&Group, Option<f32>)| {
                    (group.low, Some(group.high).filter(|high| Some(*high) != next), group.count)
                };
                Written::Groups(groups.iter().zip(next).map(one).collect())
            }
        })
    }
}

impl TryFrom<Option<Written>> for Distribution {
    type Error = &'static str;

    fn try_from(written: Option<Written>) -> Result<Distribution, &'static str> {
        Ok(match written {
            None => Distribution::None,
            Some(Written::Words { words, others }) => Distribution::Words(words, others),
            Some(Written::Groups(written)) => {
                let next = written.iter().skip(1).map(|(low, ..)| Some(*low)).chain([None]);
                let one = |((low, high, count), next): (&(f32, Option<f32>, u64), Option<f32>)| {
                    let high = high.or(next).unwrap_or(f32::INFINITY);
                    (low <= &high).then_some(Group { low: *low, high, count: *count })
                };
                let groups = written.iter().zip(next).map(one).collect::<Option<Vec<Group>>>();
                let ordered = |groups: &Vec<Group>| groups.windows(2).all(|pair| pair[0].high <= pair[1].low);
                Distribution::Groups(groups.filter(ordered).ok_or("the groups of a profile overlap")?)
            }
        })
    }
}

impl Distribution {
    /// What [`StoredProfile::written`] gave; none when it is not that.
    pub fn read(text: &str) -> Option<Distribution> {
        let written: Written = serde_json::from_str(text).ok()?;
        Distribution::try_from(Some(written)).ok()
    }
}

fn of_words(words: &Words) -> Distribution {
    let most: Vec<(String, u64)> =
        words.most(MOST_WORDS).into_iter().map(|(word, count)| (word.to_owned(), count)).collect();
    let counted: u64 = most.iter().map(|(_, count)| count).sum();
    Distribution::Words(most, words.values - counted)
}

/// Neighbouring bins that together hold no more than a part of the values, the smallest part that makes few enough groups; a bin
/// that holds more stays alone.
fn groups(numbers: &Numbers) -> Vec<Group> {
    let bins: Vec<Group> = numbers
        .bins()
        .each()
        .map(|(low, high, count)| Group { low: low.max(f32::MIN), high: high.min(f32::MAX), count })
        .collect();
    let (mut low, mut high) = (0, numbers.values);
    while low < high {
        let part = low + (high - low) / 2;
        match group(&bins, part).len() <= MOST_GROUPS {
            true => high = part,
            false => low = part + 1,
        }
    }
    group(&bins, low)
}

fn group(bins: &[Group], part: u64) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for bin in bins {
        match groups.last_mut() {
            Some(last) if last.count + bin.count <= part => {
                last.high = bin.high;
                last.count += bin.count;
            }
            _ => groups.push(*bin),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Float64Array, StringViewArray};

    use super::*;
    use crate::quality::profile::Looking;

    fn stored(column: &dyn Array) -> StoredProfile {
        let array = arrow::array::make_array(column.to_data());
        let batch = arrow::array::RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap();
        let profiles = Looking::new([(Side::Column, "c".to_owned())]).at(&batch);
        StoredProfile::of(&profiles[0])
    }

    #[test]
    fn a_distribution_is_small_and_reads_back() {
        let values: Vec<Option<f64>> = (0..100_000u64)
            .map(|i| match i % 10 {
                0 => None,
                1..4 => Some(0.0),
                _ => Some(((i * 7919) % 100_003) as f64 / 7.0 - 3_000.0),
            })
            .collect();
        let profile = stored(&Float64Array::from(values));
        let Distribution::Groups(groups) = &profile.distribution else { panic!("no groups") };
        assert!(groups.len() <= MOST_GROUPS && groups.len() > 100, "{}", groups.len());
        assert_eq!(groups.iter().map(|group| group.count).sum::<u64>(), 90_000);
        assert!(groups.windows(2).all(|pair| pair[0].high <= pair[1].low));
        // What is frequent is alone.
        let zero = groups.iter().find(|group| group.count >= 30_000).unwrap();
        assert!(zero.low == 0.0 && zero.high < 0.001, "{zero:?}");
        let written = profile.written().unwrap();
        assert!(written.len() < 4_000, "{}", written.len());
        assert_eq!(Distribution::read(&written).unwrap(), profile.distribution);
        assert_eq!((profile.rows, profile.nulls, profile.zeros, profile.values()), (100_000, 10_000, 30_000, 90_000));
        assert_eq!((profile.quantiles.len(), profile.distinct), (7, None));
    }

    #[test]
    fn words_and_nothing_read_back() {
        let profile = stored(&StringViewArray::from(vec![Some("a"), None, Some("b"), Some("a")]));
        assert_eq!(profile.distribution, Distribution::Words(vec![("a".into(), 2), ("b".into(), 1)], 0));
        assert_eq!((profile.distinct, profile.rows, profile.nulls), (Some(2), 4, 1));
        assert_eq!(Distribution::read(&profile.written().unwrap()), Some(profile.distribution));
        let empty = stored(&Float64Array::from(Vec::<f64>::new()));
        assert_eq!((empty.mean, empty.deviation(), empty.rows), (None, None, 0));
        assert_eq!(Distribution::read(&empty.written().unwrap()), Some(Distribution::Groups(Vec::new())));
        for broken in
            ["", "{}", "{\"groups\":[[2,1,5]]}", "{\"groups\":[[1,3,5],[2,4,5]]}", "{\"groups\":[[null,1,5]]}"]
        {
            assert_eq!(Distribution::read(broken), None, "{broken}");
        }
    }
}
