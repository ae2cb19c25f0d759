//! How the values of a column of numbers are spread, as the sum of stored profiles: pieces within which values are spread evenly.

use crate::quality::profile::Group;

/// Pieces of a sum; more are put together with their neighbours.
const MOST_PIECES: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    pub low: f64,
    pub high: f64,
    pub count: f64,
}

/// Pieces in order, none of which overlaps another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Density(pub Vec<Piece>);

impl Density {
    pub fn of(groups: &[Group]) -> Density {
        let piece = |group: &Group| {
            let low = f64::from(group.low);
            // The last of all floats has no width.
            let high = f64::from(group.high).max(f64::from(group.low.next_up().min(f32::MAX)));
            Piece { low, high: if high > low { high } else { low + low.abs() * 1e-7 }, count: group.count as f64 }
        };
        Density(groups.iter().map(piece).collect())
    }

    pub fn total(&self) -> f64 {
        self.0.iter().map(|piece| piece.count).sum()
    }

    /// The sum of several.
    pub fn sum(all: &[Density]) -> Density {
        if let [one] = all {
            return one.clone();
        }
        let edges = edges(all);
        let mut counts = vec![0.0; edges.len().saturating_sub(1)];
        for density in all {
            counts.iter_mut().zip(density.spread(&edges)).for_each(|(sum, count)| *sum += count);
        }
        let piece = |(ends, count): (&[f64], f64)| Piece { low: ends[0], high: ends[1], count };
        let mut pieces: Vec<Piece> =
            edges.windows(2).zip(counts).map(piece).filter(|piece| piece.count > 0.0).collect();
        // A few values more in each piece, until there are few enough.
        let mut part = pieces.iter().map(|piece| piece.count).sum::<f64>() / MOST_PIECES as f64 / 4.0;
        while pieces.len() > MOST_PIECES {
            pieces = together(&pieces, part);
            part *= 1.5;
        }
        Density(pieces)
    }

    /// How many values lie between each two neighbouring edges, which are in order and hold all of them.
    pub fn spread(&self, edges: &[f64]) -> Vec<f64> {
        let mut counts = vec![0.0; edges.len().saturating_sub(1)];
        let mut cell = 0;
        for piece in &self.0 {
            while cell + 1 < counts.len() && edges[cell + 1] <= piece.low {
                cell += 1;
            }
            for (count, ends) in counts[cell..].iter_mut().zip(edges[cell..].windows(2)) {
                if ends[0] >= piece.high {
                    break;
                }
                let within = ends[1].min(piece.high) - ends[0].max(piece.low);
                *count += piece.count * (within / (piece.high - piece.low)).clamp(0.0, 1.0);
            }
        }
        counts
    }
}

fn together(pieces: &[Piece], part: f64) -> Vec<Piece> {
    let mut kept: Vec<Piece> = Vec::new();
    for piece in pieces {
        match kept.last_mut() {
            Some(last) if last.count + piece.count <= part => {
                last.high = piece.high;
                last.count += piece.count;
            }
            _ => kept.push(*piece),
        }
    }
    kept
}

/// Every end of a piece of any of them, ascending.
pub fn edges(all: &[Density]) -> Vec<f64> {
    let ends = |density: &Density| density.0.iter().flat_map(|piece| [piece.low, piece.high]).collect::<Vec<_>>();
    let mut edges: Vec<f64> = all.iter().flat_map(ends).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn density(pieces: &[(f32, f32, u64)]) -> Density {
        Density::of(
            &pieces
                .iter()
                .map(|(low, high, count)| Group { low: *low, high: *high, count: *count })
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn sums_hold_every_value_where_it_lay() {
        let a = density(&[(0.0, 2.0, 10), (5.0, 5.5, 4)]);
        let b = density(&[(1.0, 3.0, 20)]);
        let sum = Density::sum(&[a.clone(), b.clone()]);
        let piece = |low, high, count| Piece { low, high, count };
        assert_eq!(sum.0, [piece(0.0, 1.0, 5.0), piece(1.0, 2.0, 15.0), piece(2.0, 3.0, 10.0), piece(5.0, 5.5, 4.0)]);
        assert_eq!((sum.total(), Density::sum(std::slice::from_ref(&a)), Density::sum(&[]).total()), (34.0, a, 0.0));
        assert_eq!(sum.spread(&[0.0, 0.5, 4.0, 9.0]), [2.5, 27.5, 4.0]);
        // Beyond the edges there is nothing to count.
        assert_eq!((sum.spread(&[]), b.spread(&[10.0, 11.0])), (vec![], vec![0.0]));
    }

    #[test]
    fn sums_of_many_stay_small_and_the_largest_float_has_a_place() {
        let many: Vec<Density> = (0..28)
            .map(|day| {
                density(
                    &(0..128)
                        .map(|i| (i as f32 + day as f32 / 29.0, i as f32 + (day as f32 + 1.0) / 29.0, 100))
                        .collect::<Vec<_>>(),
                )
            })
            .collect();
        let sum = Density::sum(&many);
        assert!(sum.0.len() <= MOST_PIECES && sum.0.len() > MOST_PIECES / 4, "{}", sum.0.len());
        assert!((sum.total() - 28.0 * 12_800.0).abs() < 1e-6);
        let last = density(&[(f32::MIN, -1e38, 1), (f32::MAX, f32::MAX, 3)]);
        let all = edges(std::slice::from_ref(&last));
        assert_eq!(last.spread(&all).iter().sum::<f64>(), 4.0);
    }
}
