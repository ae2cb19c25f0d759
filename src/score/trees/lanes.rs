//! What binned and packed trees share: the integers that stand for bins and leaves, the thresholds of a feature, and the
//! columns of a block.

use std::collections::HashMap;

use super::{Set, Split, Test};

/// Rows that are evaluated together: so many that guessing wrong which kind of split comes next costs little beside the
/// split, and so few that the columns of some tens of features stay in the second-level cache.
pub const BLOCK: usize = 2048;
/// Values whose bins are searched at once.
pub const SEARCHED: usize = 8;
/// Thresholds of a feature that two compares of 16 lanes find a value among.
pub const TWO_COMPARES: usize = 255;

/// The integer that stands for a leaf and for a bin. A bin is stored with its top bit turned: processors before AVX-512
/// compare bytes only as signed ones.
pub trait Lane: Copy + Default + Send + Sync + 'static {
    /// Thresholds that a feature may have, and leaves that a tree may have.
    const MOST_CUTS: usize;
    const MOST_LEAVES: usize;
    fn of(leaf: usize) -> Self;
    fn index(self) -> usize;
    fn bin(bin: usize) -> Self;
    /// The number of a bin.
    fn rank(self) -> usize;
    /// Whether this bin is less than the other.
    fn below(self, other: Self) -> bool;

    /// A value's bin in the column where a missing one goes right, and in the column where it goes left.
    #[inline(always)]
    fn bins(bin: usize, missing: bool) -> (Self, Self) {
        if missing { (Self::bin(usize::MAX), Self::bin(0)) } else { (Self::bin(bin), Self::bin(bin)) }
    }
}

macro_rules! lane {
    ($lane:ty, $signed:ty) => {
        impl Lane for $lane {
            const MOST_CUTS: usize = <$lane>::MAX as usize - 1;
            const MOST_LEAVES: usize = <$lane>::MAX as usize + 1;
            #[inline(always)]
            fn of(leaf: usize) -> $lane {
                leaf as $lane
            }
            #[inline(always)]
            fn index(self) -> usize {
                usize::from(self)
            }
            #[inline(always)]
            fn bin(bin: usize) -> $lane {
                bin as $lane ^ (1 << (<$lane>::BITS - 1))
            }
            #[inline(always)]
            fn rank(self) -> usize {
                usize::from(self ^ (1 << (<$lane>::BITS - 1)))
            }
            #[inline(always)]
            fn below(self, other: $lane) -> bool {
                (self as $signed) < other as $signed
            }
        }
    };
}
lane!(u8, i8);
lane!(u16, i16);

/// The thresholds of one feature, ascending and distinct.
#[derive(Debug)]
pub struct Cuts {
    pub feature: usize,
    pub all: Vec<f32>,
    /// The last threshold of each full run of 16, padded with infinity.
    pub pivots: [f32; 16],
    /// Runs of 16, padded with NaN, which nothing is greater than.
    pub runs: Vec<[f32; 16]>,
}

impl Cuts {
    pub fn new(feature: usize, mut all: Vec<f32>) -> Cuts {
        all.sort_by(f32::total_cmp);
        // -0.0 and 0.0 are one threshold.
        all.dedup_by(|a, b| a == b);
        let mut pivots = [f32::INFINITY; 16];
        let mut runs = Vec::new();
        if all.len() <= TWO_COMPARES {
            runs = vec![[f32::NAN; 16]; 16];
            for (i, cut) in all.iter().enumerate() {
                runs[i / 16][i % 16] = *cut;
                if i % 16 == 15 {
                    pivots[i / 16] = *cut;
                }
            }
        }
        Cuts { feature, all, pivots, runs }
    }

    /// Thresholds that are not greater than a value; 0 for NaN.
    pub fn bin(&self, value: f32) -> usize {
        self.all.partition_point(|cut| *cut <= value)
    }

    /// The bins of many values. They are halved side by side, so that one's loads hide behind the others'.
    #[inline(always)]
    pub fn bins(&self, values: &[f32; SEARCHED]) -> [usize; SEARCHED] {
        let mut bins = [0; SEARCHED];
        let mut open = self.all.len();
        while open > 0 {
            let half = open.div_ceil(2);
            for (bin, value) in bins.iter_mut().zip(values) {
                let more = self.all[*bin + half - 1] <= *value;
                *bin = std::hint::select_unpredictable(more, *bin + half, *bin);
            }
            open -= half;
        }
        bins
    }
}

/// Which column a split reads, and below which bin a row goes left.
pub struct Splits<'a> {
    pub cuts: &'a [Cuts],
    /// The place of each feature among the cuts.
    pub places: &'a HashMap<u32, usize>,
    /// The number of each set among the columns made of sets, by feature, where a missing value goes, and the set.
    pub sets: HashMap<(u32, bool, &'a Set), usize>,
}

impl Splits<'_> {
    pub fn place(&self, split: &Split) -> (usize, usize) {
        let place = self.places[&split.feature];
        match &split.test {
            Test::Below(value) => (2 * place + usize::from(split.default_left), self.cuts[place].bin(*value)),
            Test::In(set) => (2 * self.cuts.len() + self.sets[&(split.feature, split.default_left, set)], 1),
        }
    }

    /// Columns in all; one of zeros stands behind them.
    pub fn columns(&self) -> usize {
        2 * self.cuts.len() + self.sets.len()
    }
}

/// A column of a block. A register never straddles two lines of the cache, and thanks to the line behind it columns do
/// not all fall on the same places of the cache.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct Column<L> {
    pub lanes: [L; BLOCK],
    pub _apart: [u8; 64],
}

/// Who knows where a column begins knows where its lanes do.
const _: () = assert!(std::mem::offset_of!(Column<u16>, lanes) == 0);

impl<L> Column<L> {
    /// From one column to the next.
    pub const LANES: usize = size_of::<Column<L>>() / size_of::<L>();
}
