//! Reads `[extract.NAME]` of the job file: where the rows of a table come from and what they hold.

use std::collections::BTreeMap;

use chrono::format::{Fixed, Item, StrftimeItems};
use chrono_tz::Tz;

use super::file_source::{self, FileFormat};
use super::job::JobReader;
use super::table_spec::{MissingLookback, TableSource, TableSpec, of_dates};
use super::zones::zone;
use crate::config::{At, Table, meant};
use crate::rows::{COLUMN_TYPES, ColumnType};

impl JobReader<'_> {
    pub(super) fn extract(&mut self, table: &Table<'_>) -> Vec<TableSpec> {
        let Some(section) = table.table("extract") else { return Vec::new() };
        let names = section.keys();
        let overrides = self.overrides(table, &names);
        let mut specs = Vec::new();
        for name in names {
            let Some(own) = section.table(&name) else { continue };
            let Columns { columns, zones, formats } = columns(&own);
            let zone = own.string("zone").and_then(|at| zone(&own, "zone", &at));
            let lookback_days = own.string("lookback").map_or(0, |at| lookback(&own, &at));
            let missing_lookback = own
                .word("missing_lookback", &[("error", MissingLookback::Error), ("allow", MissingLookback::Allow)])
                .map_or(MissingLookback::Error, |at| at.value);
            let snapshot = own.boolean("snapshot").is_some_and(|at| at.value);
            let default = self.source(&name, &own);
            let source = match overrides.get(&name) {
                Some(replaced) => replaced.clone(),
                None => default,
            };
            if let Some(source) = source {
                untyped(&own, &name, &source, &columns, &formats);
                specs.push(TableSpec {
                    name,
                    source,
                    lookback_days,
                    missing_lookback,
                    columns,
                    zone,
                    zones,
                    formats,
                    snapshot,
                });
            }
        }
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
                    if target == self.target {
                        chosen.insert(name, source);
                    }
                }
            }
        }
        chosen
    }

    fn source(&mut self, name: &str, table: &Table<'_>) -> Option<TableSource> {
        let formats = FileFormat::all().into_iter();
        let mut files: Vec<_> = formats.filter_map(|format| Some((table.string(format.key())?, format))).collect();
        let (sql, connection) = (table.string("sql"), table.string("connection"));
        match (files.pop().filter(|_| files.is_empty()), sql, connection) {
            (Some((at, format)), None, None) => file_source::read(name, format, at, table).map(TableSource::Files),
            (None, Some(sql), Some(connection)) if files.is_empty() => {
                if !self.connections.contains(&connection.value.as_str()) {
                    let hint = meant(&connection.value, self.connections.iter().copied())
                        .unwrap_or_else(|| format!("add [connection.{}] to daymill.toml", connection.value));
                    table.fault_hint(connection.line, format!("there is no connection {:?}", connection.value), hint);
                }
                let sql = self.sql(table, sql)?;
                Some(TableSource::Query { connection: connection.value, sql })
            }
            _ => {
                let keys = FileFormat::all().map(|format| format.key());
                let (last, first) = (keys[keys.len() - 1], keys[..keys.len() - 1].join(", "));
                table.fault_hint(
                    table.line(),
                    format!("extract.{name} must say where its rows come from"),
                    format!("one of {first} or {last} = \"path\", or connection = \"name\" and sql = \"file\""),
                );
                None
            }
        }
    }
}

/// The columns of text must be declared. A format is for text alone.
fn untyped(
    table: &Table<'_>,
    name: &str,
    source: &TableSource,
    columns: &[(String, ColumnType)],
    formats: &[(String, String)],
) {
    let text = matches!(source, TableSource::Files(files) if files.format.is_text());
    if text && columns.is_empty() {
        table.fault_hint(
            table.line(),
            format!("extract.{name} reads text, which does not say the types of its columns"),
            format!("declare them in [extract.{name}.columns], as in id = \"int\""),
        );
    }
    if let Some((column, _)) = formats.first().filter(|_| !text) {
        table.fault(
            table.line(),
            format!("the column {column:?} of extract.{name} has a format, and is not of a text file"),
        );
    }
}

#[derive(Default)]
struct Columns {
    columns: Vec<(String, ColumnType)>,
    zones: Vec<(String, Tz)>,
    formats: Vec<(String, String)>,
}

/// The declared columns, each `NAME = "type"` or `NAME = { type = "timestamp", zone = "...", format = "..." }`.
fn columns(table: &Table<'_>) -> Columns {
    let mut found = Columns::default();
    let Some(section) = table.table("columns") else { return found };
    for name in section.keys() {
        if !section.is_table(&name) {
            found.columns.extend(section.word(&name, &COLUMN_TYPES).map(|at| (name, at.value)));
            continue;
        }
        let Some(own) = section.table(&name) else { continue };
        let kind = own.word("type", &COLUMN_TYPES).map(|at| at.value);
        if let Some(at) = own.string("zone") {
            if kind.is_some_and(|kind| kind != ColumnType::Timestamp) {
                own.fault(at.line, format!("the column {name:?} has a zone and is no timestamp"));
            }
            found.zones.extend(zone(&own, "zone", &at).map(|zone| (name.clone(), zone)));
        }
        if let Some(at) = own.string("format") {
            format(&own, &name, &at, kind);
            found.formats.push((name.clone(), at.value));
        }
        found.columns.extend(kind.map(|kind| (name, kind)));
    }
    found
}

/// A way in which dates or times are written.
fn format(table: &Table<'_>, name: &str, at: &At<String>, kind: Option<ColumnType>) {
    if kind.is_some_and(|kind| !matches!(kind, ColumnType::Date | ColumnType::Timestamp)) {
        table.fault(at.line, format!("the column {name:?} has a format and is no date or timestamp"));
    }
    let items = || StrftimeItems::new(&at.value);
    if items().any(|item| item == Item::Error) {
        table.fault_hint(at.line, format!("format = {:?} cannot be read", at.value), "as in \"%d.%m.%Y %H:%M\"");
    } else if items().any(|item| item == Item::Fixed(Fixed::TimezoneName)) {
        table.fault_hint(
            at.line,
            format!("format = {:?} has the name of a time zone (%Z), which would not be heard", at.value),
            "offsets are read with %z; otherwise leave it out of the files, and say zone = \"Europe/Berlin\"",
        );
    } else if kind == Some(ColumnType::Date) && !of_dates(&at.value) {
        table.fault(
            at.line,
            format!("format = {:?} of the date {name:?} has a time of day, which would be dropped", at.value),
        );
    }
}

/// `7d`: whole local days.
fn lookback(table: &Table<'_>, at: &At<String>) -> u64 {
    let days = at.value.strip_suffix('d').and_then(|n| n.parse().ok()).filter(|n| (1..=3660).contains(n));
    days.unwrap_or_else(|| {
        table.fault_hint(at.line, format!("lookback {:?} is not a number of days", at.value), "write it as \"7d\"");
        0
    })
}
