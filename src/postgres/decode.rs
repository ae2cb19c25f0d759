//! Binary COPY out of Postgres, straight into Arrow columns. One tuple is an i16 count of fields, then for each an
//! i32 length (-1 for NULL) and that many big-endian bytes; the stream begins with a 19-byte header and ends with -1.
//! Integers widen to 64 bits, numeric becomes a float, so that every source hands over the same few types.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, PrimitiveBuilder, RecordBatch,
    StringViewBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Schema, TimeUnit};
use chrono_tz::Tz;

use crate::digest::RowSum;
use crate::error::{Error, Result};
use crate::rows::{ColumnType, EPOCH_DAYS, EPOCH_MICROS};
use crate::sql::kernels::zone;

/// Tuples whose fields are found before their columns are decoded: few enough that their bytes stay in the cache.
const BLOCK_ROWS: usize = 256;
/// No server has ever sent an extension of the header; no field of Postgres holds more than this.
pub(super) const MOST_EXTENSION: usize = 1 << 16;
pub(super) const MOST_BYTES: i32 = 1 << 30;
pub(super) const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// How a type looks on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Uuid,
    Date,
    Timestamp,
    /// A timestamp without a zone, read by the clock of one.
    Local(Tz),
    TimestampTz,
}

impl Wire {
    /// By the name Postgres gives the type; an enum is sent as its label.
    pub fn of(type_name: &str, is_enum: bool) -> Option<Wire> {
        Some(match type_name.to_ascii_uppercase().as_str() {
            "BOOL" => Wire::Bool,
            "INT2" => Wire::Int2,
            "INT4" => Wire::Int4,
            "INT8" => Wire::Int8,
            "FLOAT4" => Wire::Float4,
            "FLOAT8" => Wire::Float8,
            "NUMERIC" => Wire::Numeric,
            "TEXT" | "VARCHAR" | "CHAR" | "BPCHAR" | "NAME" | "\"CHAR\"" => Wire::Text,
            "UUID" => Wire::Uuid,
            "DATE" => Wire::Date,
            "TIMESTAMP" => Wire::Timestamp,
            "TIMESTAMPTZ" => Wire::TimestampTz,
            _ if is_enum => Wire::Text,
            _ => return None,
        })
    }

    /// The family it belongs to; a timestamp without a zone belongs to none.
    pub fn column_type(self) -> Option<ColumnType> {
        Some(match self {
            Wire::Bool => ColumnType::Bool,
            Wire::Int2 | Wire::Int4 | Wire::Int8 => ColumnType::Int,
            Wire::Float4 | Wire::Float8 | Wire::Numeric => ColumnType::Float,
            Wire::Text | Wire::Uuid => ColumnType::Text,
            Wire::Date => ColumnType::Date,
            Wire::TimestampTz | Wire::Local(_) => ColumnType::Timestamp,
            Wire::Timestamp => return None,
        })
    }

    fn arrow(self) -> DataType {
        let naive = DataType::Timestamp(TimeUnit::Microsecond, None);
        self.column_type().map_or(naive, ColumnType::arrow)
    }
}

/// The Arrow schema of a COPY stream of these columns.
pub fn schema(columns: &[(String, Wire)]) -> Arc<Schema> {
    Arc::new(Schema::new(columns.iter().map(|(name, wire)| Field::new(name, wire.arrow(), true)).collect::<Vec<_>>()))
}

enum Builder {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Text(StringViewBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl Builder {
    fn new(wire: Wire) -> Builder {
        match wire.arrow() {
            DataType::Boolean => Builder::Bool(BooleanBuilder::new()),
            DataType::Int64 => Builder::Int(Int64Builder::new()),
            DataType::Float64 => Builder::Float(Float64Builder::new()),
            DataType::Date32 => Builder::Date(Date32Builder::new()),
            DataType::Timestamp(_, zone) => {
                Builder::Timestamp(TimestampMicrosecondBuilder::new().with_timezone_opt(zone))
            }
            _ => Builder::Text(StringViewBuilder::new()),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Bool(b) => Arc::new(b.finish()),
            Builder::Int(b) => Arc::new(b.finish()),
            Builder::Float(b) => Arc::new(b.finish()),
            Builder::Text(b) => Arc::new(b.finish()),
            Builder::Date(b) => Arc::new(b.finish()),
            Builder::Timestamp(b) => Arc::new(b.finish()),
        }
    }
}

/// Takes the stream in pieces of any size; hands out record batches.
pub struct Decoder {
    schema: Arc<Schema>,
    columns: Vec<(Wire, Builder)>,
    /// Bytes of a tuple whose end has not come yet.
    rest: Vec<u8>,
    header_read: bool,
    trailer_read: bool,
    /// Start and length of each field of the tuples in work, row by row; a negative length is NULL.
    fields: Vec<(u32, i32)>,
    rows: usize,
    digest: RowSum,
}

impl Decoder {
    pub fn new(columns: &[(String, Wire)]) -> Decoder {
        Decoder {
            schema: schema(columns),
            columns: columns.iter().map(|(_, wire)| (*wire, Builder::new(*wire))).collect(),
            rest: Vec::new(),
            header_read: false,
            trailer_read: false,
            fields: Vec::new(),
            rows: 0,
            digest: RowSum::default(),
        }
    }

    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.rest.is_empty() {
            let used = self.consume(bytes)?;
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            let mut joined = std::mem::take(&mut self.rest);
            joined.extend_from_slice(bytes);
            let used = self.consume(&joined)?;
            joined.drain(..used);
            self.rest = joined;
        }
        Ok(())
    }

    /// Rows decoded since the last batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Of all rows so far, as they came over the wire.
    pub fn digest(&self) -> RowSum {
        self.digest
    }

    pub fn batch(&mut self) -> Result<RecordBatch> {
        self.rows = 0;
        let arrays = self.columns.iter_mut().map(|(_, builder)| builder.finish()).collect();
        RecordBatch::try_new(self.schema.clone(), arrays)
            .map_err(|e| Error::defect("decoded columns differ in length").cause(e))
    }

    /// The stream ended; it must have ended where the format says.
    pub fn finish(&self) -> Result<()> {
        match self.trailer_read && self.rest.is_empty() {
            true => Ok(()),
            false => Err(broken("the stream ends in the middle").transient()),
        }
    }

    /// Decodes every complete tuple and returns the bytes used.
    fn consume(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut at = 0;
        if !self.header_read {
            let Some(header) = bytes.get(..19) else { return Ok(0) };
            let extension = u32_at(header, 15) as usize;
            if !header.starts_with(SIGNATURE) {
                return Err(broken("the header is not PGCOPY"));
            }
            if extension > MOST_EXTENSION {
                return Err(broken(&format!("its header claims an extension of {extension} bytes")));
            }
            if bytes.len() < 19 + extension {
                return Ok(0);
            }
            at = 19 + extension;
            self.header_read = true;
        }
        while !self.trailer_read {
            let end = self.block(bytes, at)?;
            if end == at {
                break;
            }
            at = end;
        }
        if self.trailer_read && at < bytes.len() {
            return Err(broken("there are bytes after the trailer"));
        }
        Ok(at)
    }

    /// Finds the fields of the next complete tuples, then decodes them column by column; where they end.
    fn block(&mut self, bytes: &[u8], mut at: usize) -> Result<usize> {
        let width = self.columns.len();
        self.fields.clear();
        let mut rows = 0;
        'tuples: while rows < BLOCK_ROWS {
            let Some(count) = bytes.get(at..at + 2) else { break };
            let count = i16::from_be_bytes([count[0], count[1]]);
            if count == -1 {
                self.trailer_read = true;
                at += 2;
                break;
            }
            if count as usize != width {
                return Err(broken(&format!("a row has {count} fields, not {width}")));
            }
            let mut end = at + 2;
            for _ in 0..width {
                if bytes.len() < end + 4 {
                    break 'tuples;
                }
                let length = u32_at(bytes, end) as i32;
                if !(-1..=MOST_BYTES).contains(&length) {
                    return Err(broken(&format!("a field claims {length} bytes")));
                }
                let start = u32::try_from(end + 4).map_err(|_| broken("a row of more than 4 GiB"))?;
                self.fields.push((start, length));
                end += 4 + usize::try_from(length).unwrap_or(0);
            }
            if end > bytes.len() {
                break;
            }
            self.digest.add(&bytes[at + 2..end]);
            at = end;
            rows += 1;
        }
        for (index, (wire, builder)) in self.columns.iter_mut().enumerate() {
            let fields = self.fields[index.min(self.fields.len())..].iter().step_by(width).take(rows);
            let values = fields.map(|(start, length)| {
                let start = *start as usize;
                usize::try_from(*length).ok().map(|length| &bytes[start..start + length])
            });
            append(*wire, builder, values).map_err(|(row, what)| {
                let row = self.rows + row + 1;
                Error::data(format!("column {:?}, row {row}: {what}", self.schema.field(index).name()))
            })?;
        }
        self.rows += rows;
        Ok(at)
    }
}

/// Values of one column, in order; what is wrong with the first that is wrong, and its place among them.
fn append<'a>(
    wire: Wire,
    builder: &mut Builder,
    values: impl Iterator<Item = Option<&'a [u8]>>,
) -> Result<(), (usize, String)> {
    match (builder, wire) {
        (Builder::Bool(b), _) => each(values, |value| {
            b.append_option(value.map(|v| bytes_of::<1>(v).map(|v| v[0] != 0)).transpose()?);
            Ok(())
        }),
        (Builder::Int(b), Wire::Int2) => fixed(values, b, |v| Ok(i16::from_be_bytes(v).into())),
        (Builder::Int(b), Wire::Int4) => fixed(values, b, |v| Ok(i32::from_be_bytes(v).into())),
        (Builder::Int(b), _) => fixed(values, b, |v| Ok(i64::from_be_bytes(v))),
        (Builder::Float(b), Wire::Float4) => fixed(values, b, |v| Ok(f32::from_be_bytes(v).into())),
        (Builder::Float(b), Wire::Numeric) => each(values, |value| {
            b.append_option(value.map(numeric).transpose()?);
            Ok(())
        }),
        (Builder::Float(b), _) => fixed(values, b, |v| Ok(f64::from_be_bytes(v))),
        (Builder::Text(b), Wire::Uuid) => each(values, |value| {
            let text = value.map(|v| Ok::<_, String>(uuid::Uuid::from_bytes(bytes_of(v)?).to_string())).transpose()?;
            b.append_option(text);
            Ok(())
        }),
        (Builder::Text(b), _) => each(values, |value| {
            let text = value.map(|v| std::str::from_utf8(v).map_err(|_| "not UTF-8 text".to_owned())).transpose()?;
            b.append_option(text);
            Ok(())
        }),
        (Builder::Date(b), _) => fixed(values, b, |v| match i32::from_be_bytes(v) {
            i32::MAX | i32::MIN => Err("an infinite date".into()),
            days => days.checked_add(EPOCH_DAYS).ok_or("a date out of range".into()),
        }),
        (Builder::Timestamp(b), Wire::Local(zone)) => {
            fixed(values, b, |v| zone::instant(zone, timestamp(v)?).map_err(|_| "a timestamp out of range".into()))
        }
        (Builder::Timestamp(b), _) => fixed(values, b, timestamp),
    }
}

fn timestamp(value: [u8; 8]) -> Result<i64, String> {
    match i64::from_be_bytes(value) {
        i64::MAX | i64::MIN => Err("an infinite timestamp".into()),
        micros => micros.checked_add(EPOCH_MICROS).ok_or("a timestamp out of range".into()),
    }
}

fn each<'a>(
    values: impl Iterator<Item = Option<&'a [u8]>>,
    mut take: impl FnMut(Option<&'a [u8]>) -> Result<(), String>,
) -> Result<(), (usize, String)> {
    values.enumerate().try_for_each(|(row, value)| take(value).map_err(|what| (row, what)))
}

fn fixed<'a, const N: usize, P: ArrowPrimitiveType>(
    values: impl Iterator<Item = Option<&'a [u8]>>,
    builder: &mut PrimitiveBuilder<P>,
    convert: impl Fn([u8; N]) -> Result<P::Native, String>,
) -> Result<(), (usize, String)> {
    each(values, |value| {
        match value {
            Some(value) => builder.append_value(convert(bytes_of(value)?)?),
            None => builder.append_null(),
        }
        Ok(())
    })
}

fn bytes_of<const N: usize>(value: &[u8]) -> Result<[u8; N], String> {
    value.try_into().map_err(|_| format!("{} bytes where {N} belong", value.len()))
}

/// A numeric as the nearest float. A whole number that no float holds is refused: it is an identifier, not a measure.
fn numeric(value: &[u8]) -> Result<f64, String> {
    let field =
        |i: usize| value.get(2 * i..2 * i + 2).map(|b| i16::from_be_bytes([b[0], b[1]])).ok_or("a short numeric");
    let (count, weight, sign) = (field(0)?, i32::from(field(1)?), field(2)? as u16);
    match sign {
        0xC000 => return Ok(f64::NAN),
        0xD000 => return Ok(f64::INFINITY),
        0xF000 => return Ok(f64::NEG_INFINITY),
        0 | 0x4000 => {}
        _ => return Err("a numeric of unknown sign".into()),
    }
    let mut text = String::from(if sign == 0x4000 { "-0" } else { "0" });
    for i in 0..i32::from(count).max(weight + 1) {
        let digit = if i < i32::from(count) { field(4 + i as usize)? } else { 0 };
        text.push_str(&format!("{digit:04}"));
    }
    // The digits stand for text x 10^(4 (weight + 1 - number of groups)).
    let groups = i32::from(count).max(weight + 1);
    let exponent = 4 * (weight + 1 - groups);
    let float: f64 = format!("{text}e{exponent}").parse().map_err(|_| "a damaged numeric")?;
    if exponent == 0
        && float.abs() >= 9_007_199_254_740_992.0
        && format!("{:.0}", float.abs()) != text.trim_start_matches('-').trim_start_matches('0')
    {
        let digits = text.trim_start_matches('-').trim_start_matches('0');
        let sign = if sign == 0x4000 { "-" } else { "" };
        let (shown, to) = match digits.len() {
            0..=18 => (digits.to_owned(), "bigint or text"),
            19..=40 => (digits.to_owned(), "text"),
            n => (format!("{}... ({n} digits)", &digits[..20]), "text, or to double precision if it is a measure"),
        };
        return Err(format!("the whole number {sign}{shown} is more than a float holds; cast it to {to} in the SQL"));
    }
    Ok(float)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn broken(what: &str) -> Error {
    Error::new(crate::error::Class::Unavailable, format!("the COPY stream is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric_bytes(weight: i16, sign: u16, digits: &[i16]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [digits.len() as i16, weight, sign as i16, 0].iter().chain(digits) {
            bytes.extend(part.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn numerics_become_the_nearest_float() {
        assert_eq!(numeric(&numeric_bytes(0, 0, &[12, 3400])), Ok(12.34));
        assert_eq!(numeric(&numeric_bytes(-1, 0x4000, &[5])), Ok(-0.0005));
        assert_eq!(numeric(&numeric_bytes(2, 0, &[1])), Ok(1e8));
        assert_eq!(numeric(&numeric_bytes(0, 0, &[])), Ok(0.0));
        assert!(numeric(&numeric_bytes(0, 0xC000, &[])).unwrap().is_nan());
        assert!(numeric(&numeric_bytes(3, 0, &[9007, 1992, 5474, 993])).unwrap_err().contains("9007199254740993"));
        assert_eq!(numeric(&numeric_bytes(3, 0, &[9007, 1992, 5474, 992])), Ok(9_007_199_254_740_992.0));
        assert!(numeric(&[0, 1, 0]).is_err());
    }

    #[test]
    fn what_a_server_claims_is_refused_before_it_is_stored() {
        let columns = [("id".to_owned(), Wire::Int4)];
        let refused = |bytes: &[u8]| Decoder::new(&columns).push(bytes).unwrap_err().message;
        assert!(refused(&[SIGNATURE, &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]].concat()).contains("4294967295 bytes"));
        for length in [i32::MAX, -2] {
            let field = [&1i16.to_be_bytes()[..], &length.to_be_bytes()].concat();
            assert!(refused(&[SIGNATURE, &[0; 8], &field].concat()).contains(&format!("{length} bytes")));
        }
    }

    #[test]
    fn a_stream_decodes_alike_however_it_is_cut() {
        let columns = [("id".to_owned(), Wire::Int4), ("name".to_owned(), Wire::Text)];
        let mut stream = [SIGNATURE, &[0; 8]].concat();
        for (id, name) in [(1i32, Some("one")), (2, None), (3, Some("a name too long to be held inline"))] {
            stream.extend(2i16.to_be_bytes());
            stream.extend(4i32.to_be_bytes());
            stream.extend(id.to_be_bytes());
            match name {
                Some(name) => {
                    stream.extend((name.len() as i32).to_be_bytes());
                    stream.extend(name.as_bytes());
                }
                None => stream.extend((-1i32).to_be_bytes()),
            }
        }
        stream.extend((-1i16).to_be_bytes());
        let whole = {
            let mut decoder = Decoder::new(&columns);
            decoder.push(&stream).unwrap();
            decoder.finish().unwrap();
            decoder.batch().unwrap()
        };
        assert_eq!(whole.num_rows(), 3);
        for size in 1..stream.len() {
            let mut decoder = Decoder::new(&columns);
            stream.chunks(size).for_each(|piece| decoder.push(piece).unwrap());
            decoder.finish().unwrap();
            assert_eq!(decoder.batch().unwrap(), whole);
        }
        for cut in 0..stream.len() {
            let mut decoder = Decoder::new(&columns);
            decoder.push(&stream[..cut]).unwrap();
            assert!(decoder.finish().is_err(), "cut at {cut}");
        }
    }
}
