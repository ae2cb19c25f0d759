//! What a person reads at the end of a run.

use std::io::IsTerminal;

use super::figures::{count, seconds};
use super::writer::{self, paint};
use crate::pipeline::report::{RunReport, ScoreSummary};
use crate::run_state::RunState;

/// The end of a run, as a person reads it.
pub fn summary(report: &RunReport) -> String {
    let terminal = std::io::stdout().is_terminal();
    let label = |text: &str| paint("2", &format!("  {text:<10}"), terminal);
    let mark = if report.state == RunState::Succeeded {
        paint("32;1", "✓", terminal)
    } else {
        paint("33;1", "–", terminal)
    };
    let mut lines = Vec::new();
    let name = report.job.as_deref().unwrap_or("score");
    let interval = report.interval.as_ref().map(|i| format!(" {}", i.label)).unwrap_or_default();
    lines.push(format!(
        "{mark} {} {} in {}",
        paint("1", &format!("{name}{interval}"), terminal),
        report.state,
        seconds(report.seconds)
    ));
    if let (Some(table), Some(target)) = (&report.table, &report.target) {
        lines.push(format!("{}{table} in {target}", label("table")));
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
    let rows = &report.rows;
    let imputed = if rows.imputed > 0 { format!(", {} values imputed", count(rows.imputed)) } else { String::new() };
    let outside = if rows.outside > 0 { format!(" ({} outside of it)", count(rows.outside)) } else { String::new() };
    lines.push(format!(
        "{}{} read{outside}, {} transformed, {} dropped{imputed}, {} written",
        label("rows"),
        count(rows.extracted),
        count(rows.transformed),
        count(rows.dropped),
        count(rows.published)
    ));
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
    let stages: Vec<String> = report.stages.iter().map(|s| format!("{} {}", s.name, seconds(s.seconds))).collect();
    lines.push(format!("{}{}; peak memory {} MB", label("time"), stages.join(", "), report.peak_memory_mb));
    if let Some(hash) = &report.content_hash {
        lines.push(format!("{}{}", label("content"), &hash[..16]));
    }
    if let Some(head) = &report.ledger_head {
        lines.push(format!("{}{head}", label("ledger")));
    }
    if report.table.is_some() {
        lines.push(format!("{}daymill show {}", label("more"), report.run_id));
    }
    lines.join("\n")
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
