//! UBJSON (draft 12), the binary form in which XGBoost saves a model: big-endian numbers behind one-letter markers,
//! containers with an optional type and count. The result is the tree that JSON text would give.

use serde_json::{Map, Number, Value};

/// Containers within containers; XGBoost needs about eight.
const MAX_DEPTH: usize = 64;

/// The document, or what is wrong with it and at which byte.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = Reader { bytes, at: 0 };
    let result = reader.marker().and_then(|marker| reader.value(marker, 0));
    match result {
        Ok(value) if reader.at == bytes.len() => Ok(value),
        Ok(_) => Err(format!("byte {}: there is more after the end of the document", reader.at)),
        Err(what) => Err(format!("byte {}: {what}", reader.at)),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len()).ok_or("the file ends too early")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "the file ends too early".to_owned())
    }

    /// The next marker, past no-ops.
    fn marker(&mut self) -> Result<u8, String> {
        loop {
            match self.array::<1>()?[0] {
                b'N' => continue,
                marker => return Ok(marker),
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn value(&mut self, marker: u8, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err("containers are nested too deeply".into());
        }
        Ok(match marker {
            b'Z' => Value::Null,
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'i' | b'U' | b'I' | b'l' | b'L' => Value::from(self.integer(marker)?),
            b'd' => float(f32::from_be_bytes(self.array()?).into()),
            b'D' => float(f64::from_be_bytes(self.array()?)),
            b'C' => Value::from((self.array::<1>()?[0] as char).to_string()),
            b'S' | b'H' => Value::from(self.text()?),
            b'[' => self.list(depth)?,
            b'{' => self.map(depth)?,
            other => return Err(format!("unknown marker 0x{other:02x}")),
        })
    }

    fn integer(&mut self, marker: u8) -> Result<i64, String> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.array()?).into(),
            b'U' => u8::from_be_bytes(self.array()?).into(),
            b'I' => i16::from_be_bytes(self.array()?).into(),
            b'l' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            other => return Err(format!("0x{other:02x} is not the marker of an integer")),
        })
    }

    fn count(&mut self) -> Result<usize, String> {
        let marker = self.marker()?;
        usize::try_from(self.integer(marker)?).map_err(|_| "a length is negative".to_owned())
    }

    fn text(&mut self) -> Result<String, String> {
        let length = self.count()?;
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| "a string is not UTF-8".to_owned())
    }

    /// `$type` and `#count`, when they are there.
    fn header(&mut self) -> Result<(Option<u8>, Option<usize>), String> {
        let mut kind = None;
        if self.peek() == Some(b'$') {
            self.at += 1;
            kind = Some(self.array::<1>()?[0]);
            if matches!(kind, Some(b'Z' | b'T' | b'F' | b'N')) {
                return Err("a container of elements that take no bytes".into());
            }
        }
        if self.peek() != Some(b'#') {
            return if kind.is_some() { Err("a typed container has no count".into()) } else { Ok((None, None)) };
        }
        self.at += 1;
        let count = self.count()?;
        // Each element takes at least one byte.
        if count > self.bytes.len() - self.at {
            return Err(format!("a container claims {count} elements, more than the file has bytes"));
        }
        Ok((kind, Some(count)))
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        let (kind, count) = self.header()?;
        let mut items = Vec::with_capacity(count.unwrap_or(0).min(1 << 20));
        while count.is_none_or(|count| items.len() < count) {
            let marker = match kind {
                Some(kind) => kind,
                None => self.marker()?,
            };
            if count.is_none() && marker == b']' {
                break;
            }
            items.push(self.value(marker, depth + 1)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, depth: usize) -> Result<Value, String> {
        let (kind, count) = self.header()?;
        let mut entries = Map::new();
        let mut read = 0;
        while count.is_none_or(|count| read < count) {
            if count.is_none() && self.peek() == Some(b'}') {
                self.at += 1;
                break;
            }
            let key = self.text()?;
            let marker = match kind {
                Some(kind) => kind,
                None => self.marker()?,
            };
            let value = self.value(marker, depth + 1)?;
            if entries.insert(key.clone(), value).is_some() {
                return Err(format!("the key {key:?} stands twice"));
            }
            read += 1;
        }
        Ok(Value::Object(entries))
    }
}

/// JSON has no NaN; the tree check refuses what becomes null here.
fn float(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_marker_is_read() {
        let mut bytes = b"{U\x01aZU\x01bTU\x01cFU\x01dSU\x02hiU\x01e[$d#U\x02".to_vec();
        bytes.extend(1.5f32.to_be_bytes());
        bytes.extend((-2f32).to_be_bytes());
        bytes.extend(b"U\x01f[Nl\xff\xff\xff\xfeI\x01\x00]U\x01gCx}");
        let expected = serde_json::json!({"a": null, "b": true, "c": false, "d": "hi", "e": [1.5, -2.0], "f": [-2, 256], "g": "x"});
        assert_eq!(parse(&bytes).unwrap(), expected);
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn claims_beyond_the_file_are_refused() {
        assert!(parse(b"[$d#l\x7f\xff\xff\xff").unwrap_err().contains("claims"));
        assert!(parse(b"SL\x7f\xff\xff\xff\xff\xff\xff\xff").unwrap_err().contains("too early"));
        assert!(parse(&[b'['; 10_000]).unwrap_err().contains("nested"));
        assert!(parse(b"Zz").unwrap_err().contains("more after"));
        assert!(parse(b"[$Z#l\x00\x00\x00\x01    ").unwrap_err().contains("no bytes"));
    }
}
