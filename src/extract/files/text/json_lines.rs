//! JSON lines: an object in each line, whose keys are columns. A key that is not there is NULL; a column that no line has is
//! missing, and a key that stands twice in one object is an error.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use memchr::memchr;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::cells::{Values, wrong};
use super::fault::Fault;
use super::layout::Layout;
use super::records::{Cell, Records, Split};
use crate::extract::files::decode;
use crate::extract::files::format::Column;
use crate::rows::ColumnType;

/// Names of other keys that are remembered.
const MOST_OTHERS: usize = 1000;

pub struct JsonLines {
    columns: Vec<Column>,
    schema: SchemaRef,
    places: HashMap<String, usize>,
    /// Whether any line has each column.
    met: Vec<bool>,
    others: BTreeSet<String>,
}

impl JsonLines {
    pub fn new(declared: &[Column]) -> JsonLines {
        let places = declared.iter().enumerate().map(|(at, column)| (column.name.clone(), at)).collect();
        JsonLines {
            schema: Arc::new(decode::schema(declared)),
            met: vec![false; declared.len()],
            columns: declared.to_vec(),
            places,
            others: BTreeSet::new(),
        }
    }
}

impl Layout for JsonLines {
    fn splitter(&self) -> Box<dyn Split> {
        Box::new(Lines)
    }

    fn convert(&mut self, records: &Records) -> Result<RecordBatch, Fault> {
        let mut values: Vec<Values> = self.columns.iter().map(|column| Values::of(column, records.len())).collect();
        let mut seen = vec![false; self.columns.len()];
        for (cell, line) in records.cells.iter().zip(&records.lines) {
            seen.fill(false);
            let mut wrong = None;
            let row = Row { layout: self, values: &mut values, seen: &mut seen, wrong: &mut wrong };
            let mut json = serde_json::Deserializer::from_str(records.slice(*cell));
            let read = row.deserialize(&mut json).and_then(|()| json.end());
            if let Some((column, what)) = wrong {
                return Err(Fault { column: Some(column), ..Fault::at(*line, what) });
            }
            if let Err(error) = read {
                return Err(refused(*line, records.slice(*cell), &error));
            }
            for (at, seen) in seen.iter().enumerate() {
                match seen {
                    true => self.met[at] = true,
                    false => values[at].null(),
                }
            }
        }
        let arrays = values.into_iter().map(Values::finish).collect();
        let rows = RecordBatchOptions::new().with_row_count(Some(records.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &rows).map_err(|e| Fault::at(0, e.to_string()))
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn missing(&self, column: &Column) -> bool {
        self.places.get(&column.name).is_some_and(|at| !self.met[*at])
    }

    fn others(&self) -> Vec<String> {
        self.others.iter().cloned().collect()
    }
}

fn refused(line: u64, text: &str, error: &serde_json::Error) -> Fault {
    let said = error.to_string();
    let what = said.split(" at line ").next().unwrap_or_default();
    let place = if error.column() > 0 { format!(" at character {}", error.column()) } else { String::new() };
    let hint = match text.trim_start().as_bytes() {
        [b'[', ..] => Some("each line is one object; this looks like an array, as of a file that is one JSON value"),
        _ if ["NaN", "Infinity"].iter().any(|word| text.contains(word)) => {
            Some("JSON has no NaN and no Infinity; write null")
        }
        _ if error.is_eof() => Some("each line is one whole object; is this one JSON value over several lines?"),
        _ => None,
    };
    Fault { hint: hint.map(str::to_owned), ..Fault::at(line, format!("not a JSON object: {what}{place}")) }
}

/// Lines that are not blank.
struct Lines;

impl Split for Lines {
    fn split(&self, records: &mut Records, mut line: u64, ended: bool) -> Result<usize, Fault> {
        let Records { text, cells, lines } = records;
        let (bytes, mut at) = (text.as_bytes(), 0);
        while at < bytes.len() {
            let end = match memchr(b'\n', &bytes[at..]) {
                Some(length) => at + length,
                None if ended => bytes.len(),
                None => break,
            };
            if !text[at..end].trim().is_empty() {
                cells.push(Cell { from: at, until: end, ..Cell::default() });
                lines.push(line);
            }
            (at, line) = ((end + 1).min(bytes.len()), line + 1);
        }
        Ok(at)
    }
}

/// One object, on its way into the columns.
struct Row<'a> {
    layout: &'a mut JsonLines,
    values: &'a mut [Values],
    seen: &'a mut [bool],
    /// The column whose value does not fit, and why.
    wrong: &'a mut Option<(String, String)>,
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(key)) = map.next_key()? {
            let Some(at) = self.layout.places.get(key.as_ref()).copied() else {
                map.next_value::<IgnoredAny>()?;
                if self.layout.others.len() < MOST_OTHERS && !self.layout.others.contains(key.as_ref()) {
                    self.layout.others.insert(key.into_owned());
                }
                continue;
            };
            let (column, values) = (&self.layout.columns[at], &mut self.values[at]);
            let twice = std::mem::replace(&mut self.seen[at], true);
            let put = match column.kind {
                _ if twice => {
                    map.next_value::<IgnoredAny>().map(|_| Err("the key stands twice in one object".into()))?
                }
                // As it is written: a float would have lost digits.
                ColumnType::Int => whole(values, map.next_value::<&RawValue>()?.get(), column),
                _ => put(values, map.next_value()?, column),
            };
            if let Err(what) = put {
                *self.wrong = Some((key.into_owned(), what));
                return Err(A::Error::custom("a value does not fit"));
            }
        }
        Ok(())
    }
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value as JSON knows it.
enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Beyond the whole numbers of 64 bits, or with a point or an exponent.
    Float(f64),
    Text(Cow<'a, str>),
    Other(&'static str),
}

impl<'de> serde::Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Int(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Scalar<'de>, E> {
                Ok(i64::try_from(value).map_or(Scalar::Float(value as f64), Scalar::Int))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Float(value))
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(value.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other("an array"))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other("an object"))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A number into a column of whole numbers.
fn whole(values: &mut Values, text: &str, column: &Column) -> Result<(), String> {
    match text.as_bytes() {
        [b'0'..=b'9' | b'-', ..] => values.text(text, column),
        _ => serde_json::from_str(text).map_err(|e| e.to_string()).and_then(|value| put(values, value, column)),
    }
}

/// A value into its column. Text stands for dates and times, and for nothing else that is not text.
fn put(values: &mut Values, value: Scalar<'_>, column: &Column) -> Result<(), String> {
    let kind = column.kind.name();
    match (value, &mut *values) {
        (Scalar::Null, _) => values.null(),
        (Scalar::Bool(value), Values::Bool(values)) => values.append_value(value),
        (Scalar::Int(value), Values::Float(values)) => values.append_value(value as f64),
        (Scalar::Float(value), Values::Float(values)) => values.append_value(value),
        (Scalar::Text(text), _)
            if matches!(column.kind, ColumnType::Text | ColumnType::Date | ColumnType::Timestamp) =>
        {
            values.text(&text, column)?;
        }
        (Scalar::Text(text), _) => return Err(wrong(&text, &format!("is text, and the column is declared {kind}"))),
        (Scalar::Bool(value), _) => {
            return Err(wrong(&value.to_string(), &format!("is a boolean, and the column is declared {kind}")));
        }
        (Scalar::Int(_) | Scalar::Float(_), _) => {
            return Err(format!("there is a number, and the column is declared {kind}"));
        }
        (Scalar::Other(what), _) => return Err(format!("there is {what}, and the column is declared {kind}")),
    }
    Ok(())
}
