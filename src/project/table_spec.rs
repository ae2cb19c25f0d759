//! The tables that a job reads: where their rows come from and what they hold.

use std::path::PathBuf;

use chrono::format::{Fixed, Item, Numeric, StrftimeItems};
use chrono_tz::Tz;

use super::file_source::{FileFormat, FileSource};
use crate::rows::ColumnType;

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
    /// How dates and times of columns are written in text, as `%d.%m.%Y`, where it is not the usual way.
    pub formats: Vec<(String, String)>,
    /// It is the same whole table for every interval, and meant to be.
    pub snapshot: bool,
}

impl TableSpec {
    /// A table that declares nothing, and whose times without a zone are handed on.
    pub fn loose(name: &str) -> TableSpec {
        let source =
            FileSource { format: FileFormat::Parquet, template: String::new(), time_column: None, complete: None };
        TableSpec {
            name: name.to_owned(),
            source: TableSource::Files(source),
            lookback_days: 0,
            missing_lookback: MissingLookback::Error,
            columns: Vec::new(),
            zone: Some(Tz::UTC),
            zones: Vec::new(),
            formats: Vec::new(),
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
    Files(FileSource),
    Query { connection: String, sql: SqlFile },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingLookback {
    Error,
    Allow,
}

/// A file of SQL.
#[derive(Clone, Debug)]
pub struct SqlFile {
    pub path: PathBuf,
    pub text: String,
}

/// Whether a format has nothing but dates in it.
pub fn of_dates(format: &str) -> bool {
    use Numeric as N;
    StrftimeItems::new(format).all(|item| match item {
        Item::Literal(_) | Item::OwnedLiteral(_) | Item::Space(_) | Item::OwnedSpace(_) => true,
        Item::Numeric(number, _) => !matches!(
            number,
            N::Hour | N::Hour12 | N::Minute | N::Second | N::Nanosecond | N::Timestamp | N::Internal(_)
        ),
        Item::Fixed(fixed) => matches!(
            fixed,
            Fixed::ShortMonthName | Fixed::LongMonthName | Fixed::ShortWeekdayName | Fixed::LongWeekdayName
        ),
        Item::Error => false,
    })
}
