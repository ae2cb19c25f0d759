//! The only writer to the terminal: the result to stdout, everything else to stderr. Secrets and control characters
//! stop here.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use crate::error::{Class, Error, Result};
use crate::project::secrets::{redact, redact_json};

/// The result of a command, for a person.
pub fn result(text: &str) -> Result<()> {
    write(clean(&from_here(&redact(text))))
}

/// The project's folder, and how it is named from the current one.
static PROJECT: OnceLock<(String, String)> = OnceLock::new();

/// From now on paths below the project's folder are shown as somebody in the current folder would write them.
pub fn below(root: &Path) {
    let Ok(here) = std::env::current_dir() else { return };
    // A folder far up would shorten what it should not.
    if root.components().count() < 3 {
        return;
    }
    let from_here = match (root.strip_prefix(&here), here.strip_prefix(root)) {
        (Ok(below), _) if below.as_os_str().is_empty() => String::new(),
        (Ok(below), _) => format!("{}/", below.display()),
        (_, Ok(above)) => "../".repeat(above.components().count()),
        _ => return,
    };
    let _ = PROJECT.set((format!("{}/", root.display()), from_here));
}

/// Replaces a path where one begins, and not in the middle of another.
fn shortened(text: &str, root: &str, name: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(root) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let within = out.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '~'));
        out.push_str(if within { root } else { name });
        rest = &after[root.len()..];
    }
    out + rest
}

/// A text with the project's paths as somebody here would write them.
pub fn from_here(text: &str) -> String {
    match PROJECT.get() {
        Some((root, name)) if text.contains(root.as_str()) => shortened(text, root, name),
        _ => text.to_owned(),
    }
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
    let _ = writeln!(std::io::stderr().lock(), "{}", clean(&from_here(&redact(text))));
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

/// Asks a person; no answer where there is no terminal.
pub fn confirm(question: &str) -> Result<Option<bool>> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(None);
    }
    let _ = write!(std::io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Error::new(Class::Io, "cannot read the answer").cause(e))?;
    Ok(Some(matches!(answer.trim(), "y" | "Y" | "yes")))
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
}
