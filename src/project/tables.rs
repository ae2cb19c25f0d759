//! The tables that a job reads: `[extract.NAME]` of the job file, where their rows come from and what they hold.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::job::{JobReader, SqlFile};
use super::reader::{At, Table, meant};

#[derive(Clone, Debug)]
pub struct TableSpec {
    pub name: String,
    pub source: TableSource,
    /// Whole local days before the interval that the table also holds.
    pub lookback_days: u64,
    pub missing_lookback: MissingLookback,
    /// Declared columns; empty when the job declares none and takes the table as it comes.
    pub columns: Vec<(String, ColumnType)>,
    /// The clock of its times without a zone.
    pub zone: Option<Tz>,
    /// The clocks of columns that have their own.
    pub zones: Vec<(String, Tz)>,
    /// It is the same whole table for every interval, and meant to be.
    pub snapshot: bool,
}

impl TableSpec {
    /// A table that declares nothing, and whose times without a zone are handed on.
    pub fn loose(name: &str) -> TableSpec {
        let source = ParquetSource { template: String::new(), time_column: None, complete: None };
        TableSpec {
            name: name.to_owned(),
            source: TableSource::Parquet(source),
            lookback_days: 0,
            missing_lookback: MissingLookback::Error,
            columns: Vec::new(),
            zone: Some(Tz::UTC),
            zones: Vec::new(),
            snapshot: false,
        }
    }

    /// The clock of a column's times, if they have no zone themselves.
    pub fn zone_of(&self, column: &str) -> Option<Tz> {
        let own = self.zones.iter().find(|(name, _)| name == column).map(|(_, zone)| *zone);
        own.or(self.zone)
    }
}

#[derive(Clone, Debug)]
pub enum TableSource {
    Parquet(ParquetSource),
    Postgres { connection: String, sql: SqlFile },
}

#[derive(Clone, Debug)]
pub struct ParquetSource {
    /// Path below the project's root; `{date}`, `{year}`, `{month}`, `{day}`, `{hour}` and globs.
    pub template: String,
    /// Rows outside the table's span are left unread by this column.
    pub time_column: Option<String>,
    /// The file that a writer leaves when it has finished.
    pub complete: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingLookback {
    Error,
    Allow,
}

/// The families of types that a job can declare; each is one column type in every source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Int,
    Float,
    Text,
    Bool,
    Date,
    Timestamp,
}

pub const COLUMN_TYPES: [(&str, ColumnType); 6] = [
    ("int", ColumnType::Int),
    ("float", ColumnType::Float),
    ("text", ColumnType::Text),
    ("bool", ColumnType::Bool),
    ("date", ColumnType::Date),
    ("timestamp", ColumnType::Timestamp),
];

impl ColumnType {
    pub fn name(self) -> &'static str {
        COLUMN_TYPES.iter().find(|(_, t)| *t == self).map_or("?", |(name, _)| name)
    }
}

impl JobReader<'_> {
    pub(super) fn extract(&mut self, table: &Table<'_>) -> Vec<TableSpec> {
        let Some(section) = table.table("extract") else {
            table.fault(0, "[extract.NAME] is missing: a job needs at least one table to read");
            return Vec::new();
        };
        let names = section.keys();
        let overrides = self.overrides(table, &names);
        let mut specs = Vec::new();
        for name in names {
            let Some(own) = section.table(&name) else { continue };
            let (columns, zones) = columns(&own);
            let zone = own.string("zone").and_then(|at| zone(&own, "zone", &at));
            let lookback_days = own.string("lookback").map_or(0, |at| lookback(&own, &at));
            let missing_lookback = own
                .word("missing_lookback", &[("error", MissingLookback::Error), ("allow", MissingLookback::Allow)])
                .map_or(MissingLookback::Error, |at| at.value);
            let snapshot = own.boolean("snapshot").is_some_and(|at| at.value);
            let default = self.source(&name, &own);
            own.finish();
            let source = match overrides.get(&name) {
                Some(replaced) => replaced.clone(),
                None => default,
            };
            if let Some(source) = source {
                specs.push(TableSpec { name, source, lookback_days, missing_lookback, columns, zone, zones, snapshot });
            }
        }
        section.finish();
        specs
    }

    /// `[target.NAME.extract.TABLE]`: where a table comes from when this target is chosen. All targets are read, so
    /// that a fault in one shows before it is used; only the chosen one counts.
    fn overrides(&mut self, table: &Table<'_>, tables: &[String]) -> BTreeMap<String, Option<TableSource>> {
        let mut chosen = BTreeMap::new();
        let Some(targets) = table.table("target") else { return chosen };
        for target in targets.keys() {
            let Some(section) = targets.table(&target) else { continue };
            if let Some(extract) = section.table("extract") {
                for name in extract.keys() {
                    let Some(own) = extract.table(&name) else { continue };
                    if !tables.contains(&name) {
                        own.fault(
                            own.line(),
                            format!("target.{target}.extract.{name} overrides a table that [extract] does not have"),
                        );
                    }
                    let source = self.source(&name, &own);
                    own.finish();
                    if target == self.target {
                        chosen.insert(name, source);
                    }
                }
            }
            section.finish();
        }
        chosen
    }

    fn source(&mut self, name: &str, table: &Table<'_>) -> Option<TableSource> {
        let (parquet, sql) = (table.string("parquet"), table.string("sql"));
        let (connection, time_column) = (table.string("connection"), table.string("time_column"));
        let complete = table.string("complete");
        match (parquet, sql, connection) {
            (Some(at), None, None) => {
                for at in [Some(&at), complete.as_ref()].into_iter().flatten() {
                    if at.value.split('/').any(|part| part == "..") || at.value.contains('\0') {
                        table.fault(at.line, format!("extract.{name}.parquet leaves the project with \"..\""));
                    }
                    placeholders(table, at);
                }
                if let Some(mark) = complete.as_ref().filter(|mark| !dated(&mark.value, &at.value)) {
                    table.fault_hint(
                        mark.line,
                        format!("extract.{name}.complete {:?} is the same file for every interval", mark.value),
                        "write it as a path with {date}, or give each interval's files a folder of their own",
                    );
                }
                let (time_column, complete) = (time_column.map(|at| at.value), complete.map(|at| at.value));
                Some(TableSource::Parquet(ParquetSource { template: at.value, time_column, complete }))
            }
            (None, Some(sql), Some(connection)) => {
                if !self.connections.contains(&connection.value.as_str()) {
                    let hint = meant(&connection.value, self.connections.iter().copied())
                        .unwrap_or_else(|| format!("add [connection.{}] to daymill.toml", connection.value));
                    table.fault_hint(connection.line, format!("there is no connection {:?}", connection.value), hint);
                }
                let sql = self.sql(table, sql)?;
                Some(TableSource::Postgres { connection: connection.value, sql })
            }
            _ => {
                table.fault_hint(
                    table.line(),
                    format!("extract.{name} must say where its rows come from"),
                    "either parquet = \"path\", or connection = \"name\" and sql = \"file\"",
                );
                None
            }
        }
    }
}

/// The value of a key that names a time zone.
pub fn zone(table: &Table<'_>, key: &str, at: &At<String>) -> Option<Tz> {
    let zone = at.value.parse().ok();
    if zone.is_none() {
        let hint = meant(&at.value, chrono_tz::TZ_VARIANTS.iter().map(|z| z.name()))
            .unwrap_or_else(|| "as in \"America/New_York\" or \"UTC\"".into());
        table.fault_hint(at.line, format!("{key} {:?} is not an IANA time zone", at.value), hint);
    }
    zone
}

type Columns = Vec<(String, ColumnType)>;
type Zones = Vec<(String, Tz)>;

/// The declared columns, each `NAME = "type"` or `NAME = { type = "timestamp", zone = "..." }`; and their zones.
fn columns(table: &Table<'_>) -> (Columns, Zones) {
    let (mut columns, mut zones) = (Vec::new(), Vec::new());
    let Some(section) = table.table("columns") else { return (columns, zones) };
    for name in section.keys() {
        if !section.is_table(&name) {
            columns.extend(section.word(&name, &COLUMN_TYPES).map(|at| (name, at.value)));
            continue;
        }
        let Some(own) = section.table(&name) else { continue };
        let kind = own.required_string("type").and_then(|_| own.word("type", &COLUMN_TYPES));
        if let Some(at) = own.string("zone") {
            if kind.as_ref().is_some_and(|kind| kind.value != ColumnType::Timestamp) {
                own.fault(at.line, format!("the column {name:?} has a zone and is no timestamp"));
            }
            zones.extend(zone(&own, "zone", &at).map(|zone| (name.clone(), zone)));
        }
        own.finish();
        columns.extend(kind.map(|kind| (name, kind.value)));
    }
    (columns, zones)
}

/// Whether the mark of a whole output is another for every interval whose files are others.
fn dated(mark: &str, template: &str) -> bool {
    let folders = template.rsplit_once('/').map_or("", |(folders, _)| folders);
    !template.contains('{') || mark.contains('{') || (!mark.contains('/') && folders.contains('{'))
}

/// `7d`: whole local days.
fn lookback(table: &Table<'_>, at: &At<String>) -> u64 {
    let days = at.value.strip_suffix('d').and_then(|n| n.parse().ok()).filter(|n| (1..=3660).contains(n));
    days.unwrap_or_else(|| {
        table.fault_hint(at.line, format!("lookback {:?} is not a number of days", at.value), "write it as \"7d\"");
        0
    })
}

fn placeholders(table: &Table<'_>, at: &At<String>) {
    const KNOWN: [&str; 5] = ["date", "year", "month", "day", "hour"];
    for (i, _) in at.value.match_indices('{') {
        let name = at.value[i + 1..].split('}').next().unwrap_or_default();
        if !KNOWN.contains(&name) {
            table.fault_hint(
                at.line,
                format!("unknown placeholder {{{name}}} in {:?}", at.value),
                "known are {date}, {year}, {month}, {day} and {hour}",
            );
        }
    }
}
