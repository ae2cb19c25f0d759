//! The published table: its columns, made from the output of the job, and whether an existing one agrees.

use arrow::datatypes::{DataType, Schema};

use super::sql::Words;
use crate::error::{Error, Result};
use crate::identifier::Identifier;
use crate::interval::Interval;
use crate::ledger::{Db, claim};
use crate::postgres::decode::EPOCH_MICROS;
use crate::postgres::encode::Tail;

/// What every published row carries after the job's own columns.
pub const LINEAGE: [(&str, SqlType); 4] = [
    ("interval_start", SqlType::TimestampTz),
    ("model", SqlType::Text),
    ("model_version", SqlType::BigInt),
    ("run_id", SqlType::Uuid),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlType {
    Boolean,
    BigInt,
    Real,
    Double,
    Text,
    Date,
    Timestamp,
    TimestampTz,
    Uuid,
}

impl SqlType {
    fn of(kind: &DataType) -> Option<SqlType> {
        Some(match kind {
            DataType::Boolean => SqlType::Boolean,
            DataType::Int64 => SqlType::BigInt,
            DataType::Float32 => SqlType::Real,
            DataType::Float64 => SqlType::Double,
            DataType::Utf8View => SqlType::Text,
            DataType::Date32 => SqlType::Date,
            DataType::Timestamp(_, None) => SqlType::Timestamp,
            DataType::Timestamp(_, Some(_)) => SqlType::TimestampTz,
            _ => return None,
        })
    }

    /// By its name.
    pub fn named(name: &str) -> Option<SqlType> {
        use SqlType::*;
        [Boolean, BigInt, Real, Double, Text, Date, Timestamp, TimestampTz, Uuid].into_iter().find(|t| t.name() == name)
    }

    /// As `format_type` of Postgres spells it; SQLite takes the same words.
    pub fn name(self) -> &'static str {
        match self {
            SqlType::Boolean => "boolean",
            SqlType::BigInt => "bigint",
            SqlType::Real => "real",
            SqlType::Double => "double precision",
            SqlType::Text => "text",
            SqlType::Date => "date",
            SqlType::Timestamp => "timestamp without time zone",
            SqlType::TimestampTz => "timestamp with time zone",
            SqlType::Uuid => "uuid",
        }
    }
}

#[derive(Clone, Debug)]
pub struct TableSchema {
    pub name: Identifier,
    /// The key first, then what the job keeps, then the scores.
    pub columns: Vec<(Identifier, SqlType)>,
    pub key_columns: usize,
}

impl TableSchema {
    pub fn new(name: &str, columns: &Schema, key: &[String]) -> Result<TableSchema> {
        let columns = columns.fields().iter().map(|field| {
            let identifier = Identifier::new(field.name())?;
            if LINEAGE.iter().any(|(reserved, _)| *reserved == field.name()) {
                return Err(Error::config(format!("the column {:?} is one that Daymill adds itself", field.name()))
                    .hint("give it another name in the transform"));
            }
            let kind = SqlType::of(field.data_type()).ok_or_else(|| {
                Error::config(format!("column {:?} of type {} cannot be published", field.name(), field.data_type()))
            })?;
            Ok((identifier, kind))
        });
        Ok(TableSchema {
            name: Identifier::new(name)?,
            columns: columns.collect::<Result<_>>()?,
            key_columns: key.len(),
        })
    }

    fn all(&self) -> impl Iterator<Item = (String, String, SqlType)> {
        let own = self.columns.iter().map(|(name, kind)| (name.to_string(), name.name().to_owned(), *kind));
        own.chain(LINEAGE.iter().map(|(name, kind)| ((*name).to_owned(), (*name).to_owned(), *kind)))
    }

    /// `name type` of every column; keys and lineage are NOT NULL unless it is a staging table.
    pub fn definitions(&self, staging: bool) -> Vec<String> {
        let keys = self.key_columns;
        let define = |(i, (quoted, name, kind)): (usize, (String, String, SqlType))| {
            let required = !staging && (i < keys || matches!(name.as_str(), "interval_start" | "run_id"));
            format!("{quoted} {}{}", kind.name(), if required { " NOT NULL" } else { "" })
        };
        self.all().enumerate().map(define).collect()
    }

    /// `name type` of the job's own columns.
    pub fn row_definitions(&self) -> Vec<String> {
        self.columns.iter().map(|(name, kind)| format!("{name} {}", kind.name())).collect()
    }

    pub fn row_list(&self) -> String {
        self.columns.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(", ")
    }

    pub fn column_list(&self) -> String {
        self.all().map(|(quoted, ..)| quoted).collect::<Vec<_>>().join(", ")
    }

    /// Inside the load transaction. Whether the table was made now. Where an index costs less after the first rows,
    /// [`TableSchema::index`] is then still to be called.
    pub async fn create(&self, db: &mut Db, words: &dyn Words, job: &str) -> Result<bool> {
        let mut new = existing(db, &self.name).await?.is_empty();
        if let (true, Some(hold)) = (new, words.hold_creation(&db.published(&self.name))) {
            db.script(&hold).await?;
            // Another load may have made it while this one waited.
            new = existing(db, &self.name).await?.is_empty();
        }
        if new {
            let (table, columns) = (db.published(&self.name), self.definitions(false).join(", "));
            db.script(&format!("CREATE TABLE IF NOT EXISTS {table} ({columns})")).await?;
        }
        claim::claim_table(db, &self.name, job).await?;
        if new && words.indexes_at_once() {
            self.index(db, words, 0).await?;
        }
        Ok(new)
    }

    /// By the interval, which is how a run finds the rows that it replaces; `rows` are those of the first interval.
    pub async fn index(&self, db: &mut Db, words: &dyn Words, rows: u64) -> Result<()> {
        // Of long names many begin alike, and an index that is there already would be taken for this one.
        let short: String = self.name.name().chars().take(10).collect();
        let digest = crate::digest::name(self.name.name().as_bytes());
        let index = match self.name.name().len() {
            0..=50 => Identifier::new(&format!("{}_interval", self.name.name()))?,
            _ => Identifier::new(&format!("{short}_{digest:016x}_interval"))?,
        };
        db.script(&words.make_index(db, &index, &self.name, rows)).await
    }

    /// A few keys that stand on more than one row of `from`, for a message.
    pub async fn repeated(&self, db: &mut Db, from: &str) -> Result<Vec<String>> {
        let keys = &self.columns[..self.key_columns];
        let text: Vec<String> = keys.iter().map(|(key, _)| format!("CAST({key} AS text)")).collect();
        let list = keys.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT CAST(count(*) AS text), {} FROM {from} GROUP BY {list} HAVING count(*) > 1 ORDER BY {list} LIMIT 3",
            text.join(", ")
        );
        let row = |row: Vec<Option<String>>| {
            let mut values = row.into_iter();
            let count = values.next().flatten().unwrap_or_default();
            let named = keys.iter().zip(values).map(|((key, kind), value)| match (value, kind) {
                (None, _) => format!("{}=NULL", key.name()),
                (Some(value), SqlType::Text) => format!("{}='{value}'", key.name()),
                (Some(value), _) => format!("{}={value}", key.name()),
            });
            format!("{} on {count} rows", named.collect::<Vec<_>>().join(" "))
        };
        Ok(db.fetch(&sql, &[]).await?.into_iter().map(row).collect())
    }

    /// Its own columns in the order in which rows are hashed, as JSON; by these they can be read back.
    pub fn own_columns(&self) -> String {
        let columns: Vec<(&str, &str)> = self.columns.iter().map(|(name, kind)| (name.name(), kind.name())).collect();
        serde_json::to_string(&columns).unwrap_or_default()
    }

    /// A table that is there must have exactly the columns that this run writes.
    pub fn agrees_with(&self, existing: &[(String, String)]) -> Result<()> {
        if existing.is_empty() {
            return Ok(());
        }
        let wanted: Vec<(String, String)> = self.all().map(|(_, name, kind)| (name, kind.name().to_owned())).collect();
        let mut faults = Vec::new();
        for (name, kind) in &wanted {
            match existing.iter().find(|(n, _)| n == name) {
                None => faults.push(format!("it has no column {name:?} ({kind})")),
                Some((_, found)) if !found.eq_ignore_ascii_case(kind) => {
                    faults.push(format!("its column {name:?} is {found}, not {kind}"))
                }
                Some(_) => {}
            }
        }
        faults.extend(
            existing
                .iter()
                .filter(|(n, _)| !wanted.iter().any(|(w, _)| w == n))
                .map(|(n, k)| format!("it has the column {n:?} ({k}), which this job does not write")),
        );
        if faults.is_empty() {
            return Ok(());
        }
        let mut error = Error::config(format!("the table {} is there with other columns", self.name.name()));
        error.causes = faults;
        Err(error.hint("Daymill never alters your table: change it yourself, or give load.table another name"))
    }
}

/// Names and types of a table's columns; none when it is not there.
pub async fn existing(db: &mut Db, table: &Identifier) -> Result<Vec<(String, String)>> {
    let (sql, name) = super::words(db).columns(db, table);
    let rows = db.fetch(sql, &[name]).await?;
    Ok(rows.into_iter().filter_map(|mut row| Some((row[0].take()?, row[1].take()?))).collect())
}

/// The lineage columns of every row of a run, in the order of [`LINEAGE`].
pub fn tail(interval: &Interval, run_id: &str, model: Option<(&str, i64)>) -> Tail {
    let mut tail = Tail::default();
    tail.push(&(interval.start.timestamp_micros() - EPOCH_MICROS).to_be_bytes());
    match model {
        Some((name, version)) => {
            tail.push(name.as_bytes());
            tail.push(&version.to_be_bytes());
        }
        None => {
            tail.push_null();
            tail.push_null();
        }
    }
    tail.push(uuid::Uuid::parse_str(run_id).unwrap_or_default().as_bytes());
    tail
}
