//! How many rows each interval has: published, put aside, left out; and which model scored them.

use super::job_page::PageDay;
use super::svg::{at, count, drawing, text, ticks};

pub const WIDTH: f64 = 760.0;
pub const LEFT: f64 = 62.0;
const HEIGHT: f64 = 150.0;
const FOOT: f64 = 22.0;

/// Where the column of an interval begins, and how wide it is.
pub fn columns(days: usize) -> (impl Fn(usize) -> f64, f64) {
    let width = (WIDTH - LEFT - 8.0) / days.max(1) as f64;
    (move |i: usize| LEFT + i as f64 * width, width)
}

/// The first, the middle and the last label below a drawing.
pub fn labels(days: &[PageDay], y: f64) -> String {
    let (x, width) = columns(days.len());
    let mut out = String::new();
    let last = days.len().saturating_sub(1);
    let mut shown = vec![0, last / 2, last];
    shown.dedup();
    for at_day in shown {
        let Some(day) = days.get(at_day) else { continue };
        let anchor = if at_day == 0 {
            "start"
        } else if at_day == last {
            "end"
        } else {
            "middle"
        };
        let place = match anchor {
            "start" => x(at_day),
            "end" => x(at_day) + width,
            _ => x(at_day) + width / 2.0,
        };
        out.push_str(&format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            at(place),
            at(y),
            text(&day.label)
        ));
    }
    out
}

pub fn volumes(days: &[PageDay]) -> String {
    let most = days.iter().map(|day| day.published + day.quarantined + day.left_out + day.dropped).max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let ticks = ticks(most as f64);
    let top = ticks.last().copied().unwrap_or(1.0).max(1.0);
    let y = |rows: f64| 8.0 + HEIGHT - rows / top * HEIGHT;
    let mut inside = String::from(
        "<defs><pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect class=\"hatch\" width=\"2.5\" height=\"5\"/></pattern></defs>",
    );
    for tick in &ticks {
        inside.push_str(&format!(
            "<path class=\"grid\" d=\"M{0} {1}H{2}\"/><text x=\"{3}\" y=\"{4}\" text-anchor=\"end\">{5}</text>",
            at(LEFT),
            at(y(*tick)),
            at(WIDTH - 8.0),
            at(LEFT - 6.0),
            at(y(*tick) + 4.0),
            count(*tick as u64)
        ));
    }
    let (x, width) = columns(days.len());
    let bar = (width * 0.8).max(0.6);
    for (i, day) in days.iter().enumerate() {
        let mut below = 0.0;
        let title = format!("{}: {}", day.label, day.told());
        inside.push_str(&format!("<g><title>{}</title>", text(&title)));
        for (class, rows) in [("ok", day.published), ("aside", day.quarantined), ("none", day.left_out + day.dropped)] {
            if rows > 0 {
                let (high, low) = (y(below + rows as f64), y(below));
                inside.push_str(&format!(
                    "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
                    at(x(i)),
                    at(high),
                    at(bar),
                    at((low - high).max(0.5))
                ));
            }
            below += rows as f64;
        }
        inside.push_str("</g>");
    }
    inside.push_str(&labels(days, HEIGHT + FOOT + 2.0));
    drawing("volumes", "Rows of each interval: published, put aside, left out", (WIDTH, HEIGHT + FOOT + 8.0), &inside)
}

/// A lane for each model, drawn where it scored.
pub fn models(days: &[PageDay]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in days.iter().filter_map(|day| day.model.as_deref()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return String::new();
    }
    let (x, width) = columns(days.len());
    let mut inside = String::new();
    for (lane, name) in names.iter().enumerate() {
        let y = 4.0 + lane as f64 * 34.0;
        inside.push_str(&format!("<text x=\"{}\" y=\"{}\">{}</text>", at(LEFT), at(y + 10.0), text(name)));
        let mut i = 0;
        while i < days.len() {
            let run = days[i..].iter().take_while(|day| day.model.as_deref() == Some(name)).count();
            if run > 0 {
                inside.push_str(&format!(
                    "<rect class=\"lane\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"10\" rx=\"2\"/>",
                    at(x(i)),
                    at(y + 15.0),
                    at(width * run as f64)
                ));
            }
            i += run.max(1);
        }
    }
    let foot = 4.0 + names.len() as f64 * 34.0;
    inside.push_str(&labels(days, foot + 12.0));
    drawing("models", "Which model scored which intervals", (WIDTH, foot + 20.0), &inside)
}
