//! The house rules that no lint knows: which module may use which, how long files and functions are, that every file
//! says what it owns.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::support::repository;

pub fn sources() -> Vec<(String, String)> {
    let pattern = repository().join("src/**/*.rs");
    let files: Vec<PathBuf> = glob::glob(&pattern.display().to_string()).unwrap().flatten().collect();
    assert!(files.len() > 30);
    files
        .into_iter()
        .map(|f| {
            (
                f.strip_prefix(repository().join("src")).unwrap().display().to_string(),
                std::fs::read_to_string(&f).unwrap(),
            )
        })
        .collect()
}

/// The part of a file that is not tests.
pub fn body(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

fn words_used(text: &str, prefix: &str) -> BTreeSet<String> {
    let code = body(text).lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let name = |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    code.match_indices(prefix)
        .flat_map(|(i, _)| match code[i + prefix.len()..].strip_prefix('{') {
            // Several at once: the names at the depth of the brace.
            Some(list) => {
                let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
                for (at, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => {
                            names.push(name(&list[start..at]));
                            break;
                        }
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            names.push(name(&list[start..at]));
                            start = at + 1;
                        }
                        _ => {}
                    }
                }
                names
            }
            None => vec![name(&code[i + prefix.len()..])],
        })
        .collect()
}

#[test]
fn names_are_found_however_they_are_written() {
    let used = |text: &str| words_used(text, "crate::").into_iter().collect::<Vec<_>>();
    assert_eq!(
        used("use crate::load::Load;\n// crate::cli\nuse crate::{a, b::{c, d}, e::f};"),
        ["a", "b", "e", "load"]
    );
    assert_eq!(used("let x = crate::sql::parse(); fn f(_: &crate::Own) {}"), ["Own", "sql"]);
}

/// Whether a line begins a function.
fn begins_function(line: &str) -> bool {
    let mut words = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        words = words.strip_prefix(word).unwrap_or(words);
    }
    words.starts_with("fn ")
}

#[test]
fn modules_use_only_what_they_may() {
    // A module, the crates it must not name, and the modules of ours that it must not name.
    let rules: [(&str, &[&str], &[&str]); 26] = [
        ("main.rs", &["sqlx", "polars", "candle_core"], &[]),
        ("cli/", &["sqlx", "polars", "candle_core", "tokio"], &["pipeline", "project", "ledger"]),
        ("commands/", &["sqlx", "polars", "candle_core"], &[]),
        ("pipeline/", &["clap", "sqlx", "indicatif"], &["cli", "commands", "output", "backfill"]),
        ("backfill/", &["clap", "sqlx", "indicatif", "polars", "candle_core"], &["cli", "commands", "output"]),
        ("cases/", &["clap", "sqlx", "polars", "candle_core"], &["cli", "commands", "output", "backfill"]),
        ("schedule.rs", &["polars", "tokio", "sqlx", "clap"], &["project", "pipeline", "ledger", "backfill"]),
        ("fingerprint.rs", &["polars", "tokio", "sqlx", "clap"], &["pipeline", "ledger", "backfill", "extract"]),
        (
            "extract/",
            &["clap", "candle_core"],
            &["load", "transform", "score", "pipeline", "cli", "commands", "output"],
        ),
        (
            "load.rs",
            &["clap", "polars", "candle_core", "sqlx"],
            &["extract", "transform", "score", "pipeline", "cli", "commands", "output"],
        ),
        (
            "warehouse/",
            &["clap", "polars", "candle_core"],
            &["load", "extract", "transform", "score", "pipeline", "cli", "commands", "output"],
        ),
        (
            "transform/",
            &["tokio", "sqlx", "clap"],
            &["extract", "load", "score", "pipeline", "ledger", "cli", "commands", "output"],
        ),
        (
            "rows/",
            &["tokio", "sqlx", "clap", "candle_core"],
            &[
                "project",
                "models",
                "score",
                "pipeline",
                "extract",
                "load",
                "ledger",
                "warehouse",
                "cli",
                "commands",
                "output",
            ],
        ),
        (
            "config/",
            &["polars", "arrow", "candle_core", "tokio", "sqlx", "clap"],
            &["project", "models", "score", "pipeline", "extract", "load", "ledger", "cli", "commands", "output"],
        ),
        (
            "sql/",
            &["tokio", "sqlx", "clap", "arrow", "candle_core"],
            &[
                "project",
                "extract",
                "load",
                "transform",
                "score",
                "pipeline",
                "ledger",
                "cli",
                "commands",
                "output",
                "interval",
            ],
        ),
        (
            "score/",
            &["tokio", "sqlx", "clap"],
            &["project", "extract", "load", "transform", "pipeline", "ledger", "cli", "commands", "output"],
        ),
        (
            "project/",
            &["polars", "tokio", "sqlx", "clap"],
            &["pipeline", "extract", "load", "ledger", "cli", "commands", "output"],
        ),
        (
            "quality/",
            &["polars", "tokio", "sqlx", "clap", "candle_core"],
            &["pipeline", "extract", "load", "ledger", "transform", "score", "cli", "commands", "output"],
        ),
        (
            "keys/",
            &["polars", "tokio", "sqlx", "clap", "candle_core", "arrow"],
            &["config", "project", "pipeline", "extract", "load", "ledger", "score", "cli", "commands", "output"],
        ),
        (
            "config/",
            &["polars", "tokio", "sqlx", "clap", "candle_core", "arrow"],
            &["project", "pipeline", "extract", "load", "ledger", "score", "cli", "commands", "output"],
        ),
        (
            "stats/",
            &["polars", "arrow", "candle_core", "tokio", "sqlx", "clap"],
            &["quality", "drift", "project", "pipeline", "ledger", "score", "cli", "commands", "output", "error"],
        ),
        (
            "drift/",
            &["polars", "arrow", "candle_core", "tokio", "sqlx", "clap"],
            &["project", "pipeline", "ledger", "score", "extract", "load", "cli", "commands", "output", "html"],
        ),
        (
            "html/",
            &["polars", "arrow", "candle_core", "tokio", "sqlx", "clap"],
            &["project", "pipeline", "ledger", "score", "extract", "load", "cli", "commands", "error"],
        ),
        ("interval/", &["polars", "tokio", "sqlx", "clap"], &["project", "pipeline", "ledger"]),
        (
            "ledger/",
            &["polars", "clap", "candle_core"],
            &["extract", "load", "warehouse", "transform", "score", "pipeline", "cli", "commands", "output"],
        ),
        (
            "postgres/",
            &["polars", "clap", "candle_core"],
            &["extract", "load", "transform", "score", "pipeline", "ledger", "cli", "commands", "output"],
        ),
    ];
    for (file, text) in sources() {
        for (module, crates, modules) in rules.iter().filter(|(module, ..)| file.starts_with(module)) {
            let code = body(&text);
            for name in *crates {
                let named = code.contains(&format!("use {name}::"))
                    || code.contains(&format!(" {name}::"))
                    || code.contains(&format!("({name}::"))
                    || code.contains(&format!("<{name}::"));
                assert!(!named, "{file} is in {module}, which must not use {name}");
            }
            let used = words_used(&text, "crate::");
            for name in *modules {
                assert!(!used.contains(*name), "{file} is in {module}, which must not use crate::{name}");
            }
        }
    }
}

#[test]
fn files_and_functions_are_short_and_say_what_they_own() {
    for (file, text) in sources() {
        assert!(text.starts_with("//! "), "{file} does not open with what it owns");
        let lines = text.lines().count();
        assert!(lines <= 520, "{file} has {lines} lines");
        let mut start = None;
        for (number, line) in body(&text).lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let word = line.trim_start();
            if begins_function(line) && !line.trim_end().ends_with(';') && start.is_none() {
                start = Some((number, indent, word.to_owned()));
            }
            if let Some((first, at, name)) = &start
                && (line == format!("{}}}", " ".repeat(*at)) || (number == *first && line.ends_with('}')))
            {
                assert!(number - first <= 75, "{file}: {name} has {} lines", number - first);
                start = None;
            }
        }
    }
}

/// Where unsafe code may stand: the borders to Polars and to the system, and the kernels.
const BORDERS: [&str; 8] = [
    "arrow_bridge.rs",
    "memory.rs",
    "postgres/nodelay.rs",
    "score/trees/avx2.rs",
    "score/trees/avx512.rs",
    "score/trees/kernel.rs",
    "score/trees/packed.rs",
    "score/trees/wide.rs",
];

#[test]
fn unsafe_stands_only_at_the_border_and_gives_its_reason() {
    for (file, text) in sources() {
        for (number, line) in text
            .lines()
            .enumerate()
            .filter(|(_, l)| l.contains("unsafe {") || l.contains("unsafe fn") || l.contains("unsafe impl"))
        {
            assert!(BORDERS.contains(&file.as_str()), "{file}:{}: {line}", number + 1);
            let reason =
                text.lines().take(number).collect::<Vec<_>>().into_iter().rev().take(2).any(|l| l.contains("SAFETY"));
            // A function that is unsafe says nothing of itself: its callers give the reason.
            assert!(reason || line.contains("unsafe fn"), "{file}:{}: no SAFETY comment", number + 1);
        }
    }
}

#[test]
fn only_output_writes_to_the_terminal() {
    for (file, text) in sources().into_iter().filter(|(f, _)| f != "output/writer.rs") {
        for name in ["println!", "eprintln!", "print!(", "io::stdout()", "dbg!"] {
            assert!(!body(&text).contains(name) || name == "print!(" && file == "main.rs", "{file} uses {name}");
        }
    }
}
