//! The words that options take.

use std::time::Duration;

use clap::ValueEnum;

use crate::models::import::Iterations;

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Human,
    Json,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Text,
    Json,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// Never published
    Missing,
    /// The last attempt failed
    Failed,
    /// Published by another model, SQL or job file, or from a source that changed since
    Stale,
    /// All of them, published or not
    All,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Oldest,
    Newest,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Example {
    Flights,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaOf {
    /// daymill.toml
    Project,
    /// jobs/NAME.toml
    Job,
    /// case.toml of a test
    Case,
    /// model.toml of a bundle
    Model,
    /// promotions.toml of a model
    Promotions,
    /// run.json
    Run,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Print {
    Features,
    Scores,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadPath {
    Direct,
    Staged,
}

pub fn iterations(text: &str) -> Result<Iterations, String> {
    match text {
        "best" => Ok(Iterations::Best),
        "all" => Ok(Iterations::All),
        number => match number.parse() {
            Ok(n @ 1..) => Ok(Iterations::Exactly(n)),
            _ => Err("best, all, or a number from 1".into()),
        },
    }
}

/// `90s`, `10m`, `2h`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("write it as 90s, 10m or 2h".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "write it as 90s, 10m or 2h")?;
    Ok(Duration::from_secs(number.saturating_mul(unit)))
}

/// From which standing on a command fails.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgent {
    /// Moved in this interval, or drifting
    Moved,
    /// Moved, and it stays
    Drifting,
}
