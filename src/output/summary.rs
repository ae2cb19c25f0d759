//! What a person reads at the end of a run.

use super::figures::{bars, count, seconds, table};
use super::width;
use super::writer::{self, paint};
use crate::pipeline::report::{ColumnSummary, GateVerdict, Preview, RunReport, ScoreSummary};
use crate::project::check_spec::OnFail;
use crate::run_state::RunState;

/// What stands before each line.
const LABEL: usize = 12;

/// The end of a run, as a person reads it.
pub fn summary(report: &RunReport) -> String {
    let terminal = writer::on_terminal();
    let mark = if report.state == RunState::Succeeded {
        paint("32;1", "✓", terminal)
    } else {
        paint("33;1", "–", terminal)
    };
    let mut lines = Vec::new();
    let name = report.job.as_deref().unwrap_or("score");
    let interval = report.interval.as_ref().map(|i| format!(" {}", i.label)).unwrap_or_default();
    let state = if report.preview.is_some() { "looked at" } else { report.state.name() };
    lines.push(format!(
        "{mark} {} {state} in {}",
        paint("1", &format!("{name}{interval}"), terminal),
        seconds(report.seconds)
    ));
    if let (Some(table), Some(target)) = (&report.table, &report.target) {
        let would = report.preview.iter().flat_map(replaced);
        let parts: Vec<String> = std::iter::once(format!("{table} in {target}")).chain(would).collect();
        lines.extend(labelled("table", width::broken(&parts, LABEL)));
    }
    if let Some(interval) = &report.interval {
        let (start, end) = (to_the_minute(&interval.start), to_the_minute(&interval.end));
        let parts = [format!("{start} to {end}"), format!("{} h of {}", interval.hours, interval.timezone)];
        lines.extend(labelled("interval", width::broken(&parts, LABEL)));
    }
    lines.extend(labelled("rows", width::broken(&rows(report), LABEL)));
    if let Some(model) = &report.model {
        let oracle = format!("oracle: {} rows within {:.1e}", model.oracle.rows, model.oracle.max_difference);
        let parts = [format!("{}@{}", model.name, model.version), model.kind.clone(), oracle];
        lines.extend(labelled("model", width::broken(&parts, LABEL)));
    }
    for scores in &report.scores {
        lines.extend(labelled(&writer::line(&scores.name), histogram(scores)));
    }
    if !report.checks.is_empty() {
        let passed = report.checks.iter().filter(|c| c.passed).count();
        lines.push(format!("{}{passed} of {} passed", label("checks"), report.checks.len()));
    }
    lines.extend(quality(report, name));
    let stages = report.stages.iter().map(|s| format!("{} {}", s.name, seconds(s.seconds)));
    let memory = format!("peak memory {} MB", report.peak_memory_mb);
    let parts: Vec<String> = stages.chain([memory]).collect();
    lines.extend(labelled("time", width::broken(&parts, LABEL)));
    for file in &report.files {
        let first = format!("{}: {} rows of {}", file.path, count(file.rows), file.columns.first().map_or("", |c| c));
        let parts: Vec<String> = std::iter::once(first).chain(file.columns.iter().skip(1).cloned()).collect();
        lines.extend(labelled("left", width::broken(&parts, LABEL)));
    }
    if let Some(hash) = &report.content_hash {
        lines.push(format!("{}{}", label("content"), hash.get(..16).unwrap_or(hash)));
    }
    if let Some(head) = &report.ledger_head {
        let fits = width::width().is_none_or(|width| head.len() + LABEL <= width);
        let shown = match head.char_indices().nth(20) {
            Some((at, _)) if !fits => format!("{}… (all of it: daymill ledger head)", &head[..at]),
            _ => head.clone(),
        };
        lines.push(format!("{}{shown}", label("ledger")));
    }
    if let Some(preview) = &report.preview {
        lines.extend(looked_at(preview));
    }
    lines.join("\n")
}

/// Gates, and rows that were put aside.
fn quality(report: &RunReport, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if !report.gates.is_empty() {
        let passed = report.gates.iter().filter(|gate| gate.verdict == GateVerdict::Pass).count();
        let skipped = report.gates.iter().filter(|gate| gate.verdict == GateVerdict::Skipped).count();
        let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
        lines.push(format!("{}{passed} of {} passed{skipped}", label("gates"), report.gates.len()));
    }
    let aside: Vec<String> = report
        .checks
        .iter()
        .filter(|check| check.on_fail == Some(OnFail::Quarantine) && check.bad.is_some_and(|bad| bad > 0))
        .map(|check| format!("{} {}", writer::line(&check.name), count(check.bad.unwrap_or(0))))
        .collect();
    if report.rows.quarantined > 0 && report.preview.is_none() && report.state == RunState::Succeeded {
        let date = report.interval.as_ref().map(|interval| format!(" --date {}", interval.label)).unwrap_or_default();
        let show = format!("daymill quarantine show {name}{date}");
        lines.extend(labelled("aside", width::broken(&[aside, vec![show]].concat(), LABEL)));
    }
    lines
}

fn label(text: &str) -> String {
    paint("2", &format!("  {text:<10}"), writer::on_terminal())
}

/// Lines of which the first says what they are.
fn labelled(name: &str, lines: Vec<String>) -> Vec<String> {
    let name = |i: usize| label(if i == 0 { name } else { "" });
    lines.into_iter().enumerate().map(|(i, line)| format!("{}{line}", name(i))).collect()
}

/// The end of a run that was made now.
pub fn ended(report: &RunReport) -> String {
    let published = report.preview.is_none() && report.table.is_some();
    let label = label("more");
    let more = if published { format!("\n{label}daymill show {}", report.run_id) } else { String::new() };
    format!("{}{more}", summary(report))
}

/// An instant without seconds that are none.
fn to_the_minute(instant: &str) -> String {
    instant.strip_suffix(":00Z").map_or_else(|| instant.to_owned(), |minute| format!("{minute}Z"))
}

/// How many rows came, went and were written.
fn rows(report: &RunReport) -> Vec<String> {
    let rows = &report.rows;
    let outside = if rows.outside > 0 { format!(" ({} outside of it)", count(rows.outside)) } else { String::new() };
    let mut parts = vec![
        format!("{} read{outside}", count(rows.extracted)),
        format!("{} transformed", count(rows.transformed)),
        format!("{} dropped", count(rows.dropped)),
    ];
    if rows.imputed > 0 {
        parts.push(format!("{} values imputed", count(rows.imputed)));
    }
    if rows.quarantined > 0 {
        parts.push(format!("{} put aside", count(rows.quarantined)));
    }
    if rows.left_out > 0 {
        parts.push(format!("{} left out", count(rows.left_out)));
    }
    parts.push(format!("{} {}", count(rows.published), if report.preview.is_some() { "to write" } else { "written" }));
    parts
}

/// What would happen to the rows that stand.
fn replaced(preview: &Preview) -> [String; 2] {
    let stands = match preview.replaces {
        Some(rows) => format!("{} published rows would be replaced", count(rows)),
        None => "nothing is published of it yet".into(),
    };
    [stands, "nothing was written".into()]
}

/// The columns of the transform in figures, and the first rows.
fn looked_at(preview: &Preview) -> Vec<String> {
    let mut pages = Vec::new();
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    // Of a long fraction the beginning says enough.
    let short = |text: &Option<String>, number: bool| match text.as_ref().and_then(|text| text.parse::<f64>().ok()) {
        Some(value) if number && value.fract() != 0.0 && value.abs() < 1e9 => format!("{value:.4}"),
        _ => dash(text),
    };
    let figures = |column: &ColumnSummary| {
        let mean = column.mean.map_or_else(|| "-".into(), |mean| format!("{mean:.4}"));
        vec![
            column.name.clone(),
            count(column.nulls),
            short(&column.min, column.mean.is_some()),
            mean,
            short(&column.max, column.mean.is_some()),
        ]
    };
    let rows: Vec<_> = preview.columns.iter().map(figures).collect();
    pages.push(String::new());
    if let Some(limit) = preview.limit {
        pages.push(format!("of the first {} rows, so no check was asked:", count(limit)));
    }
    pages.push(table(&["column", "nulls", "min", "mean", "max"], &rows));
    if !preview.sample.is_empty() {
        let header: Vec<&str> = preview.sample_columns.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> = preview.sample.iter().map(|row| row.iter().map(dash).collect()).collect();
        pages.push(String::new());
        pages.push(table(&header, &rows));
    }
    pages
}

fn histogram(scores: &ScoreSummary) -> Vec<String> {
    let bars = bars(&scores.histogram);
    let quantiles: Vec<String> = scores.quantiles.iter().map(|(p, v)| format!("{:.0} % {v:.3}", p * 100.0)).collect();
    let first = format!("{:.3} {bars} {:.3}   mean {:.3}", scores.min, scores.max, scores.mean);
    std::iter::once(first).chain(width::broken(&quantiles, LABEL)).collect()
}
