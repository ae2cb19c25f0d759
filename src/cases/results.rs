//! How cases came out, and the reports of it that other programs read.

use std::time::Duration;

/// How a case came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Blessed,
    /// The rows are others than expected.
    Differs(Vec<String>),
    /// It has no rows to compare.
    Failed(String),
}

impl Outcome {
    pub fn passed(&self) -> bool {
        matches!(self, Outcome::Passed | Outcome::Blessed)
    }

    /// What is wrong, line by line.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Outcome::Passed | Outcome::Blessed => Vec::new(),
            Outcome::Differs(lines) => lines.clone(),
            Outcome::Failed(text) => text.lines().map(str::to_owned).collect(),
        }
    }
}

/// The Test Anything Protocol, version 13.
pub fn tap(results: &[(String, Outcome, Duration)]) -> String {
    let mut out = format!("TAP version 13\n1..{}\n", results.len());
    for (number, (title, outcome, _)) in results.iter().enumerate() {
        let ok = if outcome.passed() { "ok" } else { "not ok" };
        out.push_str(&format!("{ok} {} - {}\n", number + 1, title.replace('#', "\\#")));
        outcome.lines().iter().for_each(|line| out.push_str(&format!("# {line}\n")));
    }
    out
}

/// The file that CI servers read: a suite for all, a case each.
pub fn junit(results: &[(String, Outcome, Duration)]) -> String {
    let failed = results.iter().filter(|(_, outcome, _)| !outcome.passed()).count();
    let seconds: f64 = results.iter().map(|(.., took)| took.as_secs_f64()).sum();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"daymill\" tests=\"{}\" failures=\"{failed}\" \
         errors=\"0\" time=\"{seconds:.3}\">\n",
        results.len()
    );
    for (title, outcome, took) in results {
        let (class, name) = title.split_once('/').unwrap_or(("", title));
        let head = format!(
            "<testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escaped(class),
            escaped(name),
            took.as_secs_f64()
        );
        let lines = outcome.lines();
        match lines.first() {
            None => out.push_str(&format!("{head}/>\n")),
            Some(first) => out.push_str(&format!(
                "{head}><failure message=\"{}\">{}</failure></testcase>\n",
                escaped(first),
                escaped(&lines.join("\n"))
            )),
        }
    }
    out.push_str("</testsuite>\n</testsuites>\n");
    out
}

/// As XML has it; what XML cannot have becomes a question mark.
fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\n' | '\t' => c.to_string(),
        c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => "?".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}
