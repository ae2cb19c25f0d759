//! What a person reads at the end of a run.

use super::figures::{count, seconds, table};
use super::writer::{self, paint};
use crate::pipeline::report::{ColumnSummary, Preview, RunReport, ScoreSummary};
use crate::run_state::RunState;

/// The end of a run, as a person reads it.
pub fn summary(report: &RunReport) -> String {
    let terminal = writer::on_terminal();
    let label = |text: &str| paint("2", &format!("  {text:<10}"), terminal);
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
        let would = report.preview.as_ref().map_or_else(String::new, replaced);
        lines.push(format!("{}{table} in {target}{would}", label("table")));
    }
    if let Some(interval) = &report.interval {
        lines.push(format!(
            "{}{} to {} ({} h of {})",
            label("interval"),
            interval.start,
            interval.end,
            interval.hours,
            interval.timezone
        ));
    }
    lines.push(format!("{}{}", label("rows"), rows(report)));
    if let Some(model) = &report.model {
        lines.push(format!(
            "{}{}@{}, {}; oracle: {} rows within {:.1e}",
            label("model"),
            model.name,
            model.version,
            model.kind,
            model.oracle.rows,
            model.oracle.max_difference
        ));
    }
    for scores in &report.scores {
        lines.extend(histogram(scores).into_iter().enumerate().map(|(i, line)| {
            format!("{}{line}", label(&if i == 0 { writer::line(&scores.name) } else { String::new() }))
        }));
    }
    if !report.checks.is_empty() {
        let passed = report.checks.iter().filter(|c| c.passed).count();
        lines.push(format!("{}{passed} of {} passed", label("checks"), report.checks.len()));
    }
    let stages = report.stages.iter().map(|s| format!("{} {}", s.name, seconds(s.seconds))).collect::<Vec<_>>();
    let stages = if stages.is_empty() { String::new() } else { format!("{}; ", stages.join(", ")) };
    lines.push(format!("{}{stages}peak memory {} MB", label("time"), report.peak_memory_mb));
    for file in &report.files {
        let (path, columns) = (from_here(&file.path), file.columns.join(", "));
        lines.push(format!("{}{path}: {} rows of {columns}", label("left"), count(file.rows)));
    }
    if let Some(hash) = &report.content_hash {
        lines.push(format!("{}{}", label("content"), &hash[..16]));
    }
    if let Some(head) = &report.ledger_head {
        lines.push(format!("{}{head}", label("ledger")));
    }
    if let Some(preview) = &report.preview {
        lines.extend(looked_at(preview));
    } else if report.table.is_some() {
        lines.push(format!("{}daymill show {}", label("more"), report.run_id));
    }
    lines.join("\n")
}

/// A path as somebody here would write it.
fn from_here(path: &str) -> &str {
    let Ok(here) = std::env::current_dir() else { return path };
    std::path::Path::new(path).strip_prefix(here).ok().and_then(|rest| rest.to_str()).unwrap_or(path)
}

/// How many rows came, went and were written.
fn rows(report: &RunReport) -> String {
    let rows = &report.rows;
    let imputed = if rows.imputed > 0 { format!(", {} values imputed", count(rows.imputed)) } else { String::new() };
    let outside = if rows.outside > 0 { format!(" ({} outside of it)", count(rows.outside)) } else { String::new() };
    format!(
        "{} read{outside}, {} transformed, {} dropped{imputed}, {} {}",
        count(rows.extracted),
        count(rows.transformed),
        count(rows.dropped),
        count(rows.published),
        if report.preview.is_some() { "to write" } else { "written" }
    )
}

/// What would happen to the rows that stand.
fn replaced(preview: &Preview) -> String {
    match preview.replaces {
        Some(rows) => format!(": {} published rows would be replaced; nothing was written", count(rows)),
        None => ": nothing is published of it yet; nothing was written".into(),
    }
}

/// The columns of the transform in figures, and the first rows.
fn looked_at(preview: &Preview) -> Vec<String> {
    let mut pages = Vec::new();
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let figures = |column: &ColumnSummary| {
        let mean = column.mean.map_or_else(|| "-".into(), |mean| format!("{mean:.4}"));
        vec![column.name.clone(), count(column.nulls), dash(&column.min), mean, dash(&column.max)]
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
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let top = scores.histogram.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let bar = |share: &f64| if *share == 0.0 { ' ' } else { BARS[((share / top * 7.0).round() as usize).min(7)] };
    let quantiles: Vec<String> = scores.quantiles.iter().map(|(p, v)| format!("{:.0} % {v:.3}", p * 100.0)).collect();
    vec![
        format!(
            "{:.3} {} {:.3}   mean {:.3}",
            scores.min,
            scores.histogram.iter().map(bar).collect::<String>(),
            scores.max,
            scores.mean
        ),
        quantiles.join("  "),
    ]
}
