//! Tables of a page.

use super::job_page::{Aside, DayState, PageDay};
use super::svg::{count, number, text};

/// Every interval in figures, newest first; what the drawings show.
pub fn intervals(days: &[PageDay], scores: &[String]) -> String {
    let mut head: Vec<String> =
        ["interval", "state", "published", "put aside", "left out", "dropped", "seconds", "model"]
            .map(str::to_owned)
            .to_vec();
    for score in scores {
        head.extend([format!("{score}: 5 %"), "median".into(), "95 %".into()]);
    }
    let row = |day: &PageDay| {
        let state = match day.state {
            DayState::Published => "published",
            DayState::Failed => "failed",
            DayState::Missing => "not run",
        };
        let mut cells = vec![text(&day.label), state.to_owned()];
        cells.extend([day.published, day.quarantined, day.left_out, day.dropped].map(count));
        cells.push(day.seconds.map_or_else(|| "–".into(), |seconds| format!("{seconds:.2}")));
        cells.push(day.model.as_deref().map_or_else(|| "–".into(), text));
        for score in scores {
            let profile = day.scores.iter().find(|profile| profile.name == *score);
            for at in [1, 3, 5] {
                let value = profile.and_then(|profile| profile.quantiles.get(at));
                cells.push(value.map_or_else(|| "–".into(), |value| number(f64::from(*value))));
            }
        }
        cells
    };
    table(&head, days.iter().rev().map(row))
}

pub fn gates(days: &[PageDay]) -> String {
    let rows = days.iter().rev().flat_map(|day| {
        day.gates
            .iter()
            .filter(|(verdict, _)| verdict != "pass")
            .map(|(verdict, found)| vec![text(&day.label), text(verdict), text(found)])
    });
    let rows: Vec<_> = rows.take(100).collect();
    let asked: usize = days.iter().map(|day| day.gates.len()).sum();
    let passed: usize = days.iter().flat_map(|day| &day.gates).filter(|(verdict, _)| verdict == "pass").count();
    match (asked, rows.is_empty()) {
        (0, _) => "<p>The job has no gates.</p>".into(),
        (_, true) => format!("<p>{} gates were asked, and all passed.</p>", count(asked as u64)),
        _ => {
            let table = table(&["interval", "verdict", "what was found"].map(str::to_owned), rows.into_iter());
            format!("<p>{} gates were asked, and {} passed.</p>{table}", count(asked as u64), count(passed as u64))
        }
    }
}

pub fn aside(rows: &[Aside]) -> String {
    if rows.is_empty() {
        return "<p>No row is put aside.</p>".into();
    }
    let row = |of: &Aside| vec![text(&of.label), text(&of.rule), count(of.rows), text(&of.state)];
    table(&["interval", "rule", "rows", "state"].map(str::to_owned), rows.iter().take(200).map(row))
}

pub fn failures(days: &[PageDay]) -> String {
    let rows: Vec<_> = days
        .iter()
        .rev()
        .filter_map(|day| Some(vec![text(&day.label), text(day.error.as_deref()?.lines().next().unwrap_or_default())]))
        .take(100)
        .collect();
    if rows.is_empty() {
        return "<p>No interval's last attempt failed.</p>".into();
    }
    table(&["interval", "why"].map(str::to_owned), rows.into_iter())
}

/// Cells are HTML already.
fn table(head: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head: String = head.iter().map(|name| format!("<th>{}</th>", text(name))).collect();
    let row = |cells: Vec<String>| {
        let cells: String = cells
            .iter()
            .enumerate()
            .map(|(i, cell)| match i {
                0 => format!("<th scope=\"row\">{cell}</th>"),
                _ if cell.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '–' | '.' | ',' | 'e')) => {
                    format!("<td class=\"n\">{cell}</td>")
                }
                _ if cell.len() > 40 => format!("<td class=\"t\">{cell}</td>"),
                _ => format!("<td>{cell}</td>"),
            })
            .collect();
        format!("<tr>{cells}</tr>")
    };
    format!(
        "<div class=\"scroll\"><table><thead><tr>{head}</tr></thead><tbody>{}</tbody></table></div>",
        rows.map(row).collect::<String>()
    )
}
