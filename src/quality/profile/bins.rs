//! How many values lie in each of a fixed set of bins. A bin holds the floats that begin alike: the sign, the exponent and up to
//! twelve bits of the fraction, so that it is at most 0.025 % wide, and whole numbers up to 8192 have bins of their own. When more
//! bins hold values than may be kept, every two neighbours become one; what comes out does not depend on the order of the
//! values, and counts of any two runs can be compared.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

/// Bits of a float that no bin tells apart.
const DROPPED_BITS: u32 = 11;
const FINEST: usize = 1 << (32 - DROPPED_BITS);
/// The counts of one batch are looked up in blocks of so many.
const BLOCK_BITS: u32 = 6;
/// So many blocks are passed over at a time.
const BLOCKS: usize = 64;

/// Counts of the values of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bins {
    /// How often neighbours became one.
    coarse: u32,
    /// The number of a bin and how many values it holds, ascending; only those that hold some.
    counts: Vec<(u32, u64)>,
}

/// Counts of one batch, all zero in between, and which blocks of them are not: a byte each, so that no value has to wait for the
/// one before.
struct Table {
    counts: Vec<u32>,
    blocks: Vec<u8>,
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::new(Table {
        counts: vec![0; FINEST],
        blocks: vec![0; FINEST >> BLOCK_BITS],
    });
}

/// Counts values one by one; the table is this thread's.
pub struct Counting<'a> {
    table: &'a mut Table,
    shift: u32,
}

impl Counting<'_> {
    /// A value that is a number.
    #[inline]
    pub fn add(&mut self, value: f32) {
        let bin = code(value) >> self.shift;
        self.table.counts[bin as usize] += 1;
        self.table.blocks[(bin >> BLOCK_BITS) as usize] = 1;
    }
}

impl Bins {
    /// What `count` adds, in bins that became one so often.
    pub fn of(coarse: u32, count: impl FnOnce(&mut Counting<'_>)) -> Bins {
        TABLE.with_borrow_mut(|table| {
            count(&mut Counting { table, shift: DROPPED_BITS + coarse });
            let mut counts = Vec::new();
            let Table { counts: all, blocks } = table;
            for (at, held) in blocks.chunks_exact_mut(BLOCKS).enumerate() {
                if held.iter().all(|held| *held == 0) {
                    continue;
                }
                for (block, held) in (at * BLOCKS..).zip(held).filter(|(_, held)| **held != 0) {
                    *held = 0;
                    let from = block << BLOCK_BITS;
                    for (bin, count) in (from..).zip(&mut all[from..from + (1 << BLOCK_BITS)]) {
                        if *count > 0 {
                            counts.push((bin as u32, u64::from(std::mem::take(count))));
                        }
                    }
                }
            }
            Bins { coarse, counts }
        })
    }

    pub fn coarse(&self) -> u32 {
        self.coarse
    }

    /// How many bins hold values.
    pub fn held(&self) -> usize {
        self.counts.len()
    }

    /// The smallest value of each bin that holds some, the smallest value beyond it, and how many it holds; ascending.
    pub fn each(&self) -> impl Iterator<Item = (f32, f32, u64)> + '_ {
        let shift = DROPPED_BITS + self.coarse;
        self.counts.iter().map(move |(bin, count)| (edge(*bin, shift), edge(bin + 1, shift), *count))
    }

    fn coarsen(&mut self, to: u32) {
        let by = to - self.coarse;
        self.coarse = to;
        if by > 0 {
            let mut kept: Vec<(u32, u64)> = Vec::with_capacity(self.counts.len());
            for (bin, count) in self.counts.drain(..) {
                match kept.last_mut() {
                    Some(last) if last.0 == bin >> by => last.1 += count,
                    _ => kept.push((bin >> by, count)),
                }
            }
            self.counts = kept;
        }
    }

    /// Makes the bins coarser until at most so many hold values.
    pub fn keep(&mut self, most: usize) {
        while self.counts.len() > most && self.coarse < 32 - DROPPED_BITS - BLOCK_BITS {
            self.coarsen(self.coarse + 1);
        }
    }

    /// Adds the counts of other values.
    pub fn merge(&mut self, mut other: Bins) {
        let coarse = self.coarse.max(other.coarse);
        self.coarsen(coarse);
        other.coarsen(coarse);
        if self.counts.is_empty() {
            self.counts = other.counts;
            return;
        }
        let mine = std::mem::take(&mut self.counts);
        self.counts.reserve(mine.len().max(other.counts.len()));
        let (mut a, mut b) = (mine.into_iter().peekable(), other.counts.into_iter().peekable());
        loop {
            let next = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) if x.0 == y.0 => a.next().zip(b.next()).map(|(x, y)| (x.0, x.1 + y.1)),
                (Some(x), Some(y)) if x.0 > y.0 => b.next(),
                (None, _) => b.next(),
                _ => a.next(),
            };
            match next {
                Some(bin) => self.counts.push(bin),
                None => break,
            }
        }
    }
}

/// Bits that ascend as the values do. Zero has no sign.
fn code(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// The smallest value of a bin; infinity beyond the last.
fn edge(bin: u32, shift: u32) -> f32 {
    let ascending = u64::from(bin) << shift;
    let Ok(ascending) = u32::try_from(ascending) else { return f32::INFINITY };
    let value = f32::from_bits(if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending });
    if value.is_nan() { f32::INFINITY.copysign(value) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Bins {
        Bins::of(0, |count| values.iter().for_each(|value| count.add(*value)))
    }

    #[test]
    fn the_order_of_parts_does_not_matter_and_neither_does_when_they_become_coarser() {
        let values: Vec<f32> = (0..60_000u64).map(|i| ((i * 7919) % 60_013) as f32 * 1.7 - 3e4).collect();
        let mut whole = of(&values);
        whole.keep(1000);
        assert!(whole.coarse() > 0 && whole.held() <= 1000 && whole.held() > 400);
        for size in [997, 20_000] {
            let mut parts: Vec<Bins> = values.chunks(size).map(of).collect();
            for turned in [false, true] {
                let mut sum = Bins::default();
                for part in &parts {
                    // A part may be made coarse at once, when the others are.
                    let coarse = Bins::of(sum.coarse(), |_| {});
                    let mut part = part.clone();
                    part.merge(coarse);
                    sum.merge(part);
                    sum.keep(1000);
                }
                assert_eq!(sum, whole, "{size} {turned}");
                parts.reverse();
            }
        }
    }

    #[test]
    fn bins_hold_what_lies_between_their_ends() {
        let ends =
            [f32::NEG_INFINITY, f32::MIN, -1.0, -f32::MIN_POSITIVE, 0.0, 1e-40, 1.0, 1.0001, f32::MAX, f32::INFINITY];
        for coarse in [0, 3, 8, 15] {
            for value in ends {
                let bins = Bins::of(coarse, |count| count.add(value));
                let (low, high, count) = bins.each().next().unwrap();
                assert!(low <= value && (value < high || high.is_infinite()), "{coarse} {value}: {low} {high}");
                assert_eq!((count, bins.held()), (1, 1));
            }
        }
        // Whole numbers have bins of their own; a zero of either sign is one value.
        let whole: Vec<f32> = (-8192..=8192).map(|i| i as f32).collect();
        assert_eq!(of(&whole).held(), 2 * 8192 + 1);
        assert_eq!(of(&[0.0, -0.0]).held(), 1);
        // Nothing of a batch is left for the next one of the thread.
        assert_eq!(of(&[]), Bins::default());
        let mut all = of(&ends);
        all.keep(0);
        assert!(all.held() >= 4, "signs and exponents stay apart");
    }
}
