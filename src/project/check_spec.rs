//! `[[check]]` and `[quarantine]` of a job file: what must hold of the rows, and what becomes of those of which it does not.

use chrono::TimeDelta;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::config::Table;

#[derive(Clone, Debug)]
pub struct Check {
    pub line: usize,
    /// What the quarantine and the messages call it.
    pub name: String,
    pub column: Option<String>,
    pub rule: Rule,
    pub on_fail: OnFail,
    /// How many rows may break it.
    pub max_bad: Option<Budget>,
}

#[derive(Clone, Debug)]
pub enum Rule {
    Range(f64, f64),
    NotNull,
    Values(Vec<String>),
    Match(Regex),
    /// A condition over one row, in the SQL of the transform.
    Sql(String),
    Unique,
    /// The newest time may be so much older than the end of the interval.
    Freshness(TimeDelta),
    Mean(f64, f64),
    Sum(f64, f64),
    Rows(f64, f64),
}

impl Rule {
    /// Whether each row keeps it or breaks it by itself.
    pub fn is_of_rows(&self) -> bool {
        matches!(self, Rule::Range(..) | Rule::NotNull | Rule::Values(_) | Rule::Match(_) | Rule::Sql(_))
    }

    pub fn needs_numbers(&self) -> bool {
        matches!(self, Rule::Range(..) | Rule::Mean(..) | Rule::Sum(..))
    }

    fn word(&self) -> &'static str {
        match self {
            Rule::Range(..) => "range",
            Rule::NotNull => "not_null",
            Rule::Values(_) => "values",
            Rule::Match(_) => "match",
            Rule::Sql(_) => "sql",
            Rule::Unique => "unique",
            Rule::Freshness(_) => "freshness",
            Rule::Mean(..) => "mean",
            Rule::Sum(..) => "sum",
            Rule::Rows(..) => "rows",
        }
    }
}

/// What a broken rule means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// Nothing is published.
    Fail,
    /// The run goes on and says so.
    Warn,
    /// The rows are put aside, and the others are published.
    Quarantine,
    /// The rows are left out, and counted.
    Drop,
}

impl OnFail {
    /// Rows that break the rule are not published, and the others are.
    pub fn removes(self) -> bool {
        matches!(self, OnFail::Quarantine | OnFail::Drop)
    }
}

/// A number of rows, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    Rows(u64),
    Share(f64),
}

impl Budget {
    /// Whether so many bad rows of all are within it.
    pub fn allows(self, bad: u64, rows: u64) -> bool {
        match self {
            Budget::Rows(most) => bad <= most,
            Budget::Share(most) => bad as f64 <= most * rows as f64,
        }
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Budget::Rows(rows) => write!(f, "{rows}"),
            Budget::Share(share) => write!(f, "{} %", (share * 1e6).round() / 1e4),
        }
    }
}

/// How many rows may be put aside, and what is kept of them.
#[derive(Clone, Debug)]
pub struct QuarantineSpec {
    pub max_rows: u64,
    pub max_bad: Budget,
    /// Columns of which only a hash is kept.
    pub redact: Vec<String>,
}

impl Default for QuarantineSpec {
    fn default() -> QuarantineSpec {
        QuarantineSpec { max_rows: 1000, max_bad: Budget::Share(0.01), redact: Vec::new() }
    }
}

pub(super) fn quarantine(table: &Table<'_>) -> QuarantineSpec {
    let usual = QuarantineSpec::default();
    QuarantineSpec {
        max_rows: table.count("max_rows").map_or(usual.max_rows, |at| at.value as u64),
        max_bad: budget(table).unwrap_or(usual.max_bad),
        redact: table.strings("redact").map(|at| at.value).unwrap_or_default(),
    }
}

/// `max_bad`: a number of rows, or a share as "0.5%".
fn budget(table: &Table<'_>) -> Option<Budget> {
    if !table.is_string("max_bad") {
        return table.count("max_bad").map(|at| Budget::Rows(at.value as u64));
    }
    let at = table.string("max_bad")?;
    let share = at.value.strip_suffix('%').and_then(|digits| digits.trim().parse::<f64>().ok());
    match share.filter(|share| (0.0..=100.0).contains(share)) {
        Some(share) => Some(Budget::Share(share / 100.0)),
        None => {
            let hint = "a number of rows, as in 5, or a share of them, as in \"0.5%\"";
            table.fault_hint(at.line, format!("max_bad = {:?} is neither", at.value), hint);
            None
        }
    }
}

/// `26h`, `90m` or `2d`.
fn age(text: &str) -> Option<TimeDelta> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: i64 = digits.parse().ok().filter(|number| (0..=100_000).contains(number))?;
    match &text[digits.len()..] {
        "m" => TimeDelta::try_minutes(number),
        "h" => TimeDelta::try_hours(number),
        "d" => TimeDelta::try_days(number),
        _ => None,
    }
}

/// All checks of a job; each has a name of its own.
pub(super) fn checks(tables: &[Table<'_>]) -> Vec<Check> {
    let mut all: Vec<Check> = Vec::new();
    for table in tables {
        let Some((mut check, named)) = check(table) else { continue };
        let taken = |all: &[Check], name: &str| all.iter().any(|other| other.name == name);
        if taken(&all, &check.name) {
            match named {
                Some(line) => table.fault(line, format!("another check has the name {:?}", check.name)),
                None => {
                    let names = (2..).map(|n| format!("{}_{n}", check.name));
                    check.name = names.into_iter().find(|name| !taken(&all, name)).unwrap_or_default();
                }
            }
        }
        all.push(check);
    }
    all
}

/// A check, and the line of its name when it has one.
fn check(table: &Table<'_>) -> Option<(Check, Option<usize>)> {
    let column = table.string("column").map(|at| at.value);
    let rule = rule(table, column.is_some())?;
    let name = table.string("name");
    let severity = table.word("severity", &[("error", OnFail::Fail), ("warn", OnFail::Warn)]);
    let words =
        [("fail", OnFail::Fail), ("warn", OnFail::Warn), ("quarantine", OnFail::Quarantine), ("drop", OnFail::Drop)];
    let asked = table.word("on_fail", &words);
    if let (Some(_), Some(at)) = (&asked, &severity) {
        table.fault_hint(at.line, "a check has on_fail or severity, not both", "on_fail says more");
    }
    if let Some(at) = asked.as_ref().filter(|at| at.value.removes() && !rule.is_of_rows()) {
        table.fault_hint(
            at.line,
            format!("no row breaks {} by itself, so none can be put aside", rule.word()),
            "on_fail = \"fail\" or \"warn\"",
        );
    }
    if table.has("max_bad") && !rule.is_of_rows() && !matches!(rule, Rule::Unique) {
        table.fault(table.line(), format!("max_bad counts rows, and {} is not of rows", rule.word()));
    }
    let on_fail = asked.or(severity).map_or(OnFail::Fail, |at| at.value);
    let usual = || match &column {
        Some(column) => format!("{column}_{}", rule.word()),
        None => rule.word().to_owned(),
    };
    let named = name.as_ref().map(|at| at.line);
    let name = name.map_or_else(usual, |at| at.value);
    Some((Check { line: table.line(), name, column, rule, on_fail, max_bad: budget(table) }, named))
}

/// The one rule of a check.
fn rule(table: &Table<'_>, of_column: bool) -> Option<Rule> {
    let range = table.range("range").map(|at| Rule::Range(at.value.0, at.value.1));
    let mean = table.range("mean").map(|at| Rule::Mean(at.value.0, at.value.1));
    let sum = table.range("sum").map(|at| Rule::Sum(at.value.0, at.value.1));
    let rows = table.range("rows").map(|at| Rule::Rows(at.value.0, at.value.1));
    let values = table.strings("values").map(|at| Rule::Values(at.value));
    let not_null = table.boolean("not_null").filter(|at| at.value).map(|_| Rule::NotNull);
    let unique = table.boolean("unique").filter(|at| at.value).map(|_| Rule::Unique);
    let sql = table.string("sql").map(|at| Rule::Sql(at.value));
    let pattern = table.string("match").and_then(|at| match Regex::new(&at.value) {
        Ok(regex) => Some(Rule::Match(regex)),
        Err(error) => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            table.fault(at.line, format!("match = {:?} is no regular expression: {why}", at.value));
            None
        }
    });
    let freshness = table.string("freshness").and_then(|at| match age(&at.value) {
        Some(age) => Some(Rule::Freshness(age)),
        None => {
            table.fault_hint(
                at.line,
                format!("freshness = {:?} is no time", at.value),
                "as in \"26h\", \"90m\" or \"2d\"",
            );
            None
        }
    });
    let asked = ["match", "freshness"].iter().filter(|key| table.has(key)).count();
    let read = pattern.is_some() as usize + freshness.is_some() as usize;
    if asked > read {
        return None;
    }
    let rules = [range, mean, sum, rows, values, not_null, unique, sql, pattern, freshness];
    let mut rules: Vec<Rule> = rules.into_iter().flatten().collect();
    let alone = matches!(rules.first(), Some(Rule::Rows(..) | Rule::Sql(_)));
    if rules.len() != 1 || of_column == alone {
        table.fault_hint(
            table.line(),
            "a [[check]] has one rule: range, not_null, values, match, unique, freshness, mean or sum of a column, or rows or sql \
             without one",
            "write one [[check]] per rule",
        );
        return None;
    }
    Some(rules.remove(0))
}
