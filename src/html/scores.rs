//! How a score is spread: its quantiles over time, and the shape of it in the newest intervals.

use super::job_page::PageDay;
use super::svg::{at, drawing, number, text};
use super::volumes::{LEFT, WIDTH, columns, labels};
use crate::quality::profile::{Distribution, StoredProfile};

const HEIGHT: f64 = 150.0;
/// Intervals whose shape is drawn, and points of a shape.
const RIDGES: usize = 14;
const POINTS: usize = 60;
const RIDGE: f64 = 22.0;

fn of<'a>(day: &'a PageDay, name: &str) -> Option<&'a StoredProfile> {
    day.scores.iter().find(|profile| profile.name == name && profile.quantiles.len() == 7)
}

/// Bands that hold half and nine tenths of the values, and the median, interval by interval.
pub fn over_time(days: &[PageDay], name: &str) -> String {
    let quantile = |day: &PageDay, at: usize| of(day, name).map(|profile| f64::from(profile.quantiles[at]));
    let all = || days.iter().flat_map(|day| [quantile(day, 1), quantile(day, 5)]).flatten();
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    if low > high {
        return String::new();
    }
    let span = if high > low { high - low } else { 1.0 };
    let y = |value: f64| 8.0 + HEIGHT - (value - low) / span * HEIGHT;
    let (x, width) = columns(days.len());
    let middle = |i: usize| x(i) + width / 2.0;
    let mut inside = String::new();
    for value in [low, low + span / 2.0, high] {
        inside.push_str(&format!(
            "<path class=\"grid\" d=\"M{0} {1}H{2}\"/><text x=\"{3}\" y=\"{4}\" text-anchor=\"end\">{5}</text>",
            at(LEFT),
            at(y(value)),
            at(WIDTH - 8.0),
            at(LEFT - 6.0),
            at(y(value) + 4.0),
            number(value)
        ));
    }
    // A gap where an interval has no scores.
    let mut from = 0;
    while from < days.len() {
        let run = days[from..].iter().take_while(|day| of(day, name).is_some()).count();
        let range = from..from + run;
        if run == 1 {
            let points = [1, 5].map(|q| at(y(quantile(&days[from], q).unwrap_or(low))));
            inside.push_str(&format!(
                "<path class=\"line\" d=\"M{0} {1}V{2}\"/>",
                at(middle(from)),
                points[0],
                points[1]
            ));
        } else if run > 1 {
            let points = |q: usize| range.clone().map(move |i| (i, q));
            let point =
                |(i, q): (usize, usize)| format!("{} {}", at(middle(i)), at(y(quantile(&days[i], q).unwrap_or(low))));
            for (class, lower, upper) in [("band", 1, 5), ("band half", 2, 4)] {
                let up: Vec<String> = points(lower).map(point).collect();
                let down: Vec<String> = points(upper).rev().map(point).collect();
                inside.push_str(&format!("<path class=\"{class}\" d=\"M{}L{}Z\"/>", up.join("L"), down.join("L")));
            }
            let line: Vec<String> = points(3).map(point).collect();
            inside.push_str(&format!("<path class=\"line\" d=\"M{}\"/>", line.join("L")));
        }
        from += run.max(1);
    }
    inside.push_str(&labels(days, HEIGHT + 24.0));
    let title = format!("{name}: the median, half of the values and nine tenths of them, interval by interval");
    drawing(&format!("score-{}", safe(name)), &title, (WIDTH, HEIGHT + 30.0), &inside)
}

/// The shapes of the newest intervals, one below the other.
pub fn ridgeline(days: &[PageDay], name: &str) -> String {
    let newest: Vec<(&str, &StoredProfile)> =
        days.iter().filter_map(|day| Some((day.label.as_str(), of(day, name)?))).collect();
    let newest = &newest[newest.len().saturating_sub(RIDGES)..];
    let ends = |at: usize| newest.iter().map(move |(_, profile)| f64::from(profile.quantiles[at]));
    let (low, high) = (ends(0).fold(f64::INFINITY, f64::min), ends(6).fold(f64::NEG_INFINITY, f64::max));
    if newest.is_empty() || low >= high {
        return String::new();
    }
    let shapes: Vec<Vec<f64>> = newest.iter().map(|(_, profile)| shape(profile, low, high)).collect();
    let top = shapes.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
    let left = 96.0;
    let step = (WIDTH - left - 8.0) / (POINTS - 1) as f64;
    let mut inside = String::new();
    for (row, ((label, _), shape)) in newest.iter().zip(&shapes).enumerate() {
        let base = 40.0 + row as f64 * RIDGE;
        let point =
            |(i, share): (usize, &f64)| format!("{} {}", at(left + i as f64 * step), at(base - share / top * 36.0));
        let points: Vec<String> = shape.iter().enumerate().map(point).collect();
        inside.push_str(&format!(
            "<text x=\"0\" y=\"{0}\">{1}</text><path class=\"ridge\" d=\"M{2} {3}L{4}L{5} {3}Z\"/>",
            at(base),
            text(label),
            at(left),
            at(base),
            points.join("L"),
            at(WIDTH - 8.0)
        ));
    }
    let foot = 40.0 + newest.len() as f64 * RIDGE;
    for (value, anchor, x) in
        [(low, "start", left), ((low + high) / 2.0, "middle", (left + WIDTH - 8.0) / 2.0), (high, "end", WIDTH - 8.0)]
    {
        inside.push_str(&format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            at(x),
            at(foot),
            number(value)
        ));
    }
    drawing(
        &format!("shape-{}", safe(name)),
        &format!("{name}: the shape of its distribution in the newest intervals"),
        (WIDTH, foot + 6.0),
        &inside,
    )
}

/// Shares of the values in equal steps, smoothed over three.
fn shape(profile: &StoredProfile, low: f64, high: f64) -> Vec<f64> {
    let Distribution::Groups(groups) = &profile.distribution else { return vec![0.0; POINTS] };
    let width = (high - low) / POINTS as f64;
    let mut steps = vec![0.0; POINTS];
    let values = profile.values().max(1) as f64;
    for group in groups {
        let (from, to) = (f64::from(group.low), f64::from(group.high));
        let (first, last) = ((from - low) / width, (to - low) / width);
        if last < 0.0 || first >= POINTS as f64 {
            continue;
        }
        let (first, last) = (first.max(0.0) as usize, (last.max(0.0) as usize).min(POINTS - 1));
        let each = group.count as f64 / values / (last - first + 1) as f64;
        steps[first..=last].iter_mut().for_each(|step| *step += each);
    }
    (0..POINTS)
        .map(|i| {
            let near = &steps[i.saturating_sub(1)..(i + 2).min(POINTS)];
            near.iter().sum::<f64>() / near.len() as f64
        })
        .collect()
}

/// A name as a part of an id.
pub fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
