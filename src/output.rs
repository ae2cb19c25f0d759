//! The only writer to the terminal: the result to stdout, everything else to stderr. Secrets and control characters
//! stop here.

use std::io::{IsTerminal, Write};

use crate::error::{Class, Error, Result};
use crate::pipeline::report::{RunReport, ScoreSummary};
use crate::project::secrets::{redact, redact_json};

/// The result of a command, for a person.
pub fn result(text: &str) -> Result<()> {
    write(clean(&redact(text)))
}

/// The result of a command, for a machine: one line.
pub fn json(mut value: serde_json::Value) -> Result<()> {
    redact_json(&mut value);
    write(value.to_string())
}

/// A reader that went away is not an error.
fn write(mut text: String) -> Result<()> {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(Class::Io, "cannot write to stdout").cause(e))
        }
        _ => Ok(()),
    }
}

/// Text that is not for a person: no cleaning.
pub fn raw(bytes: &[u8]) {
    let _ = std::io::stdout().lock().write_all(bytes);
}

/// The time of a line in the log.
pub fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// A line for the person or the log.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", clean(&redact(text)));
}

pub fn warn(text: &str) {
    note(&format!("{} {text}", paint("33;1", "warning:", std::io::stderr().is_terminal())));
}

pub fn error(error: &Error) {
    let color = std::io::stderr().is_terminal();
    let mut text = format!("{} {error}", paint("31;1", "error:", color));
    if let Some(hint) = &error.hint {
        text.push_str(&format!("\n{} {hint}", paint("36", "hint:", color)));
    }
    note(&text);
}

/// Asks a person, who is there only on a terminal; elsewhere nobody is asked and the answer is yes.
pub fn confirm(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(true);
    }
    let _ = write!(std::io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Error::new(Class::Io, "cannot read the answer").cause(e))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Private characters that stand for our own colours until they are written: data cannot bring colours of its own.
const PAINT: [char; 2] = ['\u{10F0F0}', '\u{10F0F1}'];

/// Keeps line ends and our own colours; shows any other control character instead of sending it.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut code = false;
    for c in text.chars() {
        match c {
            c if c == PAINT[0] => {
                code = true;
                out.push_str("\x1b[");
            }
            c if c == PAINT[1] => {
                code = false;
                out.push('m');
            }
            c if code && !(c.is_ascii_digit() || c == ';') => {}
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Whether the result goes to a terminal.
pub fn on_terminal() -> bool {
    std::io::stdout().is_terminal()
}

fn colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

pub fn paint(code: &str, text: &str, terminal: bool) -> String {
    let [open, close] = PAINT;
    if terminal && colors() { format!("{open}{code}{close}{text}{open}0{close}") } else { text.to_owned() }
}

/// The end of a run, as a person reads it.
pub fn summary(report: &RunReport) -> String {
    let terminal = std::io::stdout().is_terminal();
    let label = |text: &str| paint("2", &format!("  {text:<10}"), terminal);
    let mark =
        if report.state == "succeeded" { paint("32;1", "✓", terminal) } else { paint("33;1", "–", terminal) };
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
    lines.push(format!(
        "{}{} read, {} transformed, {} dropped{imputed}, {} written",
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
        lines.extend(
            histogram(scores)
                .into_iter()
                .enumerate()
                .map(|(i, line)| format!("{}{line}", label(if i == 0 { &scores.name } else { "" }))),
        );
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

pub fn seconds(value: f64) -> String {
    match value {
        v if v < 0.0995 => format!("{:.0} ms", v * 1e3),
        v if v < 100.0 => format!("{v:.2} s"),
        v => format!("{:.0} min {:.0} s", (v / 60.0).floor(), v % 60.0),
    }
}

/// 1234567 as 1,234,567.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let head = digits.len() % 3;
    let mut parts: Vec<&str> =
        digits.as_bytes()[head..].chunks(3).map(|c| std::str::from_utf8(c).unwrap_or_default()).collect();
    if head > 0 {
        parts.insert(0, &digits[..head]);
    }
    parts.join(",")
}

/// A table of left-aligned columns.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..header.len())
        .map(|i| rows.iter().map(|row| row[i].chars().count()).chain([header[i].len()]).max().unwrap_or(0))
        .collect();
    let line = |cells: Vec<&str>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = paint("1", &line(header.to_vec()), std::io::stdout().is_terminal());
    std::iter::once(head)
        .chain(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_drive_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\rc\nd"), "a\\u{1b}[2Jb\\rc\nd");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(0), "0");
        assert_eq!(count(123), "123");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(seconds(0.0123), "12 ms");
        assert_eq!(seconds(12.345), "12.35 s");
        assert_eq!(seconds(125.0), "2 min 5 s");
    }
}
