//! The calendar of a job: a square for each date, week beside week.

use chrono::{Datelike, Duration, NaiveDate};
use std::collections::BTreeMap;

use super::job_page::{DayState, PageDay};
use super::svg::{at, drawing, text};

const CELL: f64 = 16.0;
const GAP: f64 = 3.0;
const LEFT: f64 = 34.0;
const TOP: f64 = 18.0;

/// The dates with how they stand; of a date's hours the most urgent shows.
pub fn calendar(days: &[PageDay]) -> String {
    let mut dates: BTreeMap<NaiveDate, (DayState, u64, Vec<String>)> = BTreeMap::new();
    for day in days {
        let entry = dates.entry(day.date).or_insert((DayState::Published, 0, Vec::new()));
        entry.0 = entry.0.max(day.state);
        entry.1 += day.quarantined;
        entry.2.push(format!("{}: {}", day.label, day.told()));
    }
    let (Some(first), Some(last)) = (dates.keys().next().copied(), dates.keys().last().copied()) else {
        return String::new();
    };
    let monday = first - Duration::days(first.weekday().num_days_from_monday().into());
    let mut inside = String::new();
    for (row, name) in [(0, "Mon"), (2, "Wed"), (4, "Fri"), (6, "Sun")] {
        let y = TOP + f64::from(row) * (CELL + GAP) + 12.0;
        inside.push_str(&format!("<text x=\"0\" y=\"{}\">{name}</text>", at(y)));
    }
    let mut month = 0;
    for (date, (state, aside, told)) in &dates {
        let week = (*date - monday).num_days() / 7;
        let x = LEFT + week as f64 * (CELL + GAP);
        let y = TOP + f64::from(date.weekday().num_days_from_monday()) * (CELL + GAP);
        if date.month() != month {
            month = date.month();
            inside.push_str(&format!("<text x=\"{}\" y=\"12\">{}</text>", at(x), date.format("%b")));
        }
        inside.push_str(&cell((x, y), *state, *aside > 0, &told.join("; ")));
    }
    let weeks = ((last - monday).num_days() / 7 + 1) as f64;
    let width = (LEFT + weeks * (CELL + GAP)).max(460.0);
    let y = TOP + 7.0 * (CELL + GAP) + 8.0;
    let legend = [
        (DayState::Published, false, "published"),
        (DayState::Published, true, "rows put aside"),
        (DayState::Failed, false, "failed"),
        (DayState::Missing, false, "not run"),
    ];
    let mut x = LEFT;
    for (state, aside, name) in legend {
        inside.push_str(&cell((x, y), state, aside, name));
        inside.push_str(&format!("<text x=\"{}\" y=\"{}\">{name}</text>", at(x + CELL + 5.0), at(y + 12.0)));
        x += CELL + 12.0 + 6.2 * name.len() as f64;
    }
    let size = (width, y + CELL + 4.0);
    // Squares are as large for a week as for a year.
    format!(
        "<div style=\"max-width:{}px\">{}</div>",
        at(width * 1.2),
        drawing("calendar", "Every date and how it stands", size, &inside)
    )
}

/// A shape that does without colour: full, full with a notch, a cross, a dashed frame.
fn cell((x, y): (f64, f64), state: DayState, aside: bool, title: &str) -> String {
    let frame = |class: &str| {
        format!("<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{CELL}\" height=\"{CELL}\" rx=\"2\"/>", at(x), at(y))
    };
    let shape = match state {
        DayState::Published if aside => {
            let notch = format!("<path class=\"notch\" d=\"M{} {}h8v8z\"/>", at(x + CELL - 8.0), at(y));
            frame("ok") + &notch
        }
        DayState::Published => frame("ok"),
        DayState::Failed => {
            let cross = format!("M{0} {1}l8 8m0 -8l-8 8", at(x + 4.0), at(y + 4.0));
            frame("bad") + &format!("<path class=\"cross\" d=\"{cross}\"/>")
        }
        DayState::Missing => frame("none"),
    };
    format!("<g><title>{}</title>{shape}</g>", text(title))
}
