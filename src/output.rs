//! The only writer to the terminal: the result to stdout, everything else to stderr. Secrets and control characters
//! stop here.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::error::{Class, Error, Result};
use crate::pipeline::report::{RunReport, ScoreSummary};
use crate::project::secrets::{redact, redact_json};
use crate::run_state::RunState;

/// The result of a command, for a person.
pub fn result(text: &str) -> Result<()> {
    write(clean(&redact(text)))
}

/// The result of a command, for a machine: one line.
pub fn json(mut value: serde_json::Value) -> Result<()> {
    redact_json(&mut value);
    write(ascii_controls(&value.to_string()))
}

/// JSON in which no character drives a terminal or turns the reading: inside of its strings they are written as codes.
fn ascii_controls(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if unsafe_to_show(c) { out.push_str(&format!("\\u{:04x}", c as u32)) } else { out.push(c) }
    }
    out
}

/// Whether a character moves the cursor, ends a line, or turns the direction of what follows.
fn unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Text that may come from data, as part of one line: it cannot end the line, colour it or turn it around.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if unsafe_to_show(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
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

static LOG_IS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on every line to stderr is JSON.
pub fn log_json() {
    LOG_IS_JSON.store(true, Ordering::Relaxed);
}

/// A line of the log that is JSON already.
pub fn event(mut value: serde_json::Value) {
    redact_json(&mut value);
    let _ = writeln!(std::io::stderr().lock(), "{}", ascii_controls(&value.to_string()));
}

/// The run, job and interval that the error of a command is about.
fn about() -> &'static Mutex<Vec<String>> {
    static ABOUT: Mutex<Vec<String>> = Mutex::new(Vec::new());
    &ABOUT
}

/// From now on, errors are about this run.
pub fn speak_of(run: &str, job: &str, interval: &str) {
    *about().lock().unwrap_or_else(PoisonError::into_inner) = [run, job, interval].map(str::to_owned).to_vec();
}

fn told(level: &str, message: &str) -> serde_json::Value {
    serde_json::json!({ "time": now(), "level": level, "message": message })
}

/// A text for the person or the log; its lines are ours, and what comes from data went through [`line()`].
pub fn note(text: &str) {
    match LOG_IS_JSON.load(Ordering::Relaxed) {
        true => event(told("info", text)),
        false => said(text),
    }
}

/// A line of the log that is text already.
pub fn said(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", clean(&redact(text)));
}

/// A message with its level, where that has to be said.
pub fn levelled(level: &str, message: &str) -> String {
    let color = match level {
        // What failed says so itself; why, the error says that follows.
        "info" | "error" => return message.to_owned(),
        "warning" => "33;1",
        _ => "2",
    };
    format!("{} {message}", paint(color, &format!("{level}:"), std::io::stderr().is_terminal()))
}

pub fn warn(text: &str) {
    tracing::warn!("{text}");
}

pub fn error(error: &Error) {
    if LOG_IS_JSON.load(Ordering::Relaxed) {
        let mut value = told("error", &error.message);
        value["class"] = error.class.name().into();
        value["causes"] = error.causes.clone().into();
        value["hint"] = error.hint.clone().into();
        for (name, text) in
            ["run", "job", "interval"].iter().zip(&*about().lock().unwrap_or_else(PoisonError::into_inner))
        {
            if !text.is_empty() {
                value[name] = text.as_str().into();
            }
        }
        return event(value);
    }
    let color = std::io::stderr().is_terminal();
    let mut text = format!("{} {}", paint("31;1", "error:", color), line(&error.message));
    for cause in &error.causes {
        text.push_str(&format!("\n  {}", line(cause)));
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("\n{} {}", paint("36", "hint:", color), line(hint)));
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

/// Two private characters that stand for our own colours until they are written. Each process draws its own, so that data
/// cannot bring colours along.
static PAINT: LazyLock<[char; 2]> = LazyLock::new(|| {
    let drawn = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
    let first = 0x10_0000 + (drawn % 0x7ffe) as u32;
    let second = 0x10_7fff + ((drawn >> 32) % 0x7ffe) as u32;
    [first, second].map(|code| char::from_u32(code).unwrap_or('\u{10F0F0}'))
});

/// Keeps line ends and our own colours; shows any other control character instead of sending it.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut code, [open, close]) = (false, *PAINT);
    for c in text.chars() {
        match c {
            c if c == open => {
                code = true;
                out.push_str("\x1b[");
            }
            c if c == close && code => {
                code = false;
                out.push('m');
            }
            c if code && !(c.is_ascii_digit() || c == ';') => {}
            '\n' | '\t' => out.push(c),
            c if unsafe_to_show(c) => out.extend(c.escape_default()),
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
    let [open, close] = *PAINT;
    if terminal && colors() { format!("{open}{code}{close}{text}{open}0{close}") } else { text.to_owned() }
}

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
            format!("{}{line}", label(&if i == 0 { self::line(&scores.name) } else { String::new() }))
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
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| line(cell)).collect()).collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|i| rows.iter().map(|row| row[i].chars().count()).chain([header[i].len()]).max().unwrap_or(0))
        .collect();
    let padded_line = |cells: Vec<&str>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = paint("1", &padded_line(header.to_vec()), std::io::stdout().is_terminal());
    std::iter::once(head)
        .chain(rows.iter().map(|row| padded_line(row.iter().map(String::as_str).collect())))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_drive_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\rc\nd"), "a\\u{1b}[2Jb\\rc\nd");
        assert_eq!(line("a\nb\u{9b}31m\u{202e}c\u{2028}é\t"), "a\\nb\\u{9b}31m\\u{202e}c\\u{2028}é\\t");
        assert_eq!(ascii_controls("{\"a\":\"\u{9b}\u{7f}\u{202e}é\"}"), "{\"a\":\"\\u009b\\u007f\\u202eé\"}");
        for c in ['\u{10F0F0}', '\u{10F0F1}', '\u{100000}', '\u{107fff}'] {
            assert!(!clean(&format!("{c}31m{c}")).contains('\x1b') || PAINT.contains(&c));
        }
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
