//! A sum, in the wide sense, over frames that only move forward: short frames are added up row by row, and for long ones
//! there are two piles, so that every row comes and goes once.

/// Where no frame has more rows, each is added in the order of its rows, as Postgres does: a sum of large floats depends on
/// it.
const SHORT: u32 = 64;

/// Combines the parts of each frame, in the order of the rows where the frames are short.
pub fn fold<T: Clone>(
    frames: &[(u32, u32)],
    nothing: T,
    value: impl Fn(usize) -> T,
    combine: impl Fn(&T, &T) -> T,
    mut out: impl FnMut(usize, &T),
) {
    // Where no row leaves, as in a running sum, rows are added in their order anyway.
    let leaves = frames.windows(2).any(|pair| pair[0].0 < pair[1].0 && pair[1].0 < pair[0].1);
    if !leaves || frames.iter().any(|(start, end)| end.saturating_sub(*start) > SHORT) {
        return slide(frames, nothing, value, combine, out);
    }
    for (row, (start, end)) in frames.iter().enumerate() {
        let rows = (*start as usize..*end as usize).map(&value);
        out(row, &rows.fold(nothing.clone(), |sum, value| combine(&sum, &value)));
    }
}

/// Combines the parts of each frame. `combine` is associative; nothing is ever taken back out of a part, so that NaN
/// and infinity leave with the rows that brought them.
pub fn slide<T: Clone>(
    frames: &[(u32, u32)],
    nothing: T,
    value: impl Fn(usize) -> T,
    combine: impl Fn(&T, &T) -> T,
    mut out: impl FnMut(usize, &T),
) {
    // Sums of rows up to a split, each from one row on, the one of the first row on top; and the sum from the split on.
    let (mut front, mut back): (Vec<T>, T) = (Vec::new(), nothing.clone());
    let (mut low, mut high) = (0usize, 0usize);
    for (row, (start, end)) in frames.iter().enumerate() {
        let (start, end) = (*start as usize, *end as usize);
        if start >= high || start < low {
            // Nothing of what was summed is in this frame.
            front.clear();
            back = nothing.clone();
            (low, high) = (start, start);
        }
        while high < end {
            back = combine(&back, &value(high));
            high += 1;
        }
        if end < high {
            // Frames of another partition, or empty ones: begin anew.
            front.clear();
            back = nothing.clone();
            (low, high) = (start, start);
            while high < end {
                back = combine(&back, &value(high));
                high += 1;
            }
        }
        while low < start {
            if front.is_empty() {
                let mut sum = nothing.clone();
                for at in (low..high).rev() {
                    sum = combine(&value(at), &sum);
                    front.push(sum.clone());
                }
                back = nothing.clone();
            }
            front.pop();
            low += 1;
        }
        match front.last() {
            Some(sum) => out(row, &combine(sum, &back)),
            None => out(row, &back),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_frames_are_added_in_the_order_of_their_rows() {
        let values = [1e18, -1e18, 1.0, 1e18, -1e18, 1.0];
        let frames: Vec<(u32, u32)> = (0..6u32).map(|row| (row.saturating_sub(2), row + 1)).collect();
        let mut sums = Vec::new();
        fold(&frames, 0.0, |row| values[row], |a, b| a + b, |_, sum| sums.push(*sum));
        let wanted = frames.iter().map(|(start, end)| values[*start as usize..*end as usize].iter().sum::<f64>());
        assert_eq!(sums, wanted.collect::<Vec<f64>>());
        assert_eq!(sums[3], 0.0);
    }

    #[test]
    fn every_frame_has_its_own_sum() {
        let values: Vec<i64> = (0..200).map(|i| (i * 7919) % 101).collect();
        for (before, after) in [(0, 0), (3, 0), (5, 2), (0, 9), (-1, 3), (4, -2), (300, 0)] {
            let clamp = |v: i64| v.clamp(0, 200) as u32;
            let frames: Vec<(u32, u32)> = (0..200i64)
                .map(|i| {
                    let start = clamp(i - before);
                    (start, clamp(i + after + 1).max(start))
                })
                .collect();
            slide(
                &frames,
                0,
                |row| values[row],
                |a, b| a + b,
                |row, sum| {
                    let (start, end) = frames[row];
                    assert_eq!(
                        *sum,
                        values[start as usize..end as usize].iter().sum::<i64>(),
                        "{before} {after} {row}"
                    );
                },
            );
        }
    }
}
