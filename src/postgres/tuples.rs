//! A COPY stream in the binary format, split into its tuples as it arrives. No more than one tuple is held.

use super::decode::{MOST_BYTES, MOST_EXTENSION, SIGNATURE, broken};
use crate::error::Result;

/// What precedes the first tuple and what follows the last.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
pub const TRAILER: [u8; 2] = [0xff, 0xff];

/// Bytes before the extension of a header: the signature, the flags, the extension's length.
const HEADER_BYTES: usize = HEADER.len();

/// What of a stream has not been handed on yet.
#[derive(Debug, Default)]
pub struct Tuples {
    rest: Vec<u8>,
    begun: bool,
    ended: bool,
}

impl Tuples {
    /// Takes the next piece of the stream and calls `each` with every tuple that is whole: its fields, without their count.
    pub fn feed(&mut self, piece: &[u8], mut each: impl FnMut(&[u8])) -> Result<()> {
        let held;
        let bytes = match self.rest.is_empty() {
            true => piece,
            false => {
                self.rest.extend_from_slice(piece);
                held = std::mem::take(&mut self.rest);
                &held
            }
        };
        let used = self.consume(bytes, &mut each)?;
        self.rest.extend_from_slice(&bytes[used..]);
        Ok(())
    }

    /// The stream ended; it must have ended where the format says.
    pub fn finish(&self) -> Result<()> {
        match self.ended && self.rest.is_empty() {
            true => Ok(()),
            false => Err(broken("the stream ends in the middle")),
        }
    }

    fn consume(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8])) -> Result<usize> {
        let mut at = 0;
        if !self.begun {
            let Some(header) = bytes.get(..HEADER_BYTES) else { return Ok(0) };
            if !header.starts_with(SIGNATURE) {
                return Err(broken("the header is not PGCOPY"));
            }
            let extension = number(header, 15).unwrap_or(0) as usize;
            if extension > MOST_EXTENSION {
                return Err(broken(&format!("its header claims an extension of {extension} bytes")));
            }
            at = HEADER_BYTES + extension;
            if bytes.len() < at {
                return Ok(0);
            }
            self.begun = true;
        }
        while !self.ended {
            let Some(count) = bytes.get(at..at + 2) else { break };
            let count = i16::from_be_bytes([count[0], count[1]]);
            if count < 0 {
                (self.ended, at) = (true, at + 2);
                break;
            }
            let Some(end) = fields(bytes, at + 2, count)? else { break };
            each(&bytes[at + 2..end]);
            at = end;
        }
        match self.ended && at < bytes.len() {
            true => Err(broken("there are bytes after the trailer")),
            false => Ok(at),
        }
    }
}

/// Where `count` fields end, when they are all there.
fn fields(bytes: &[u8], mut at: usize, count: i16) -> Result<Option<usize>> {
    for _ in 0..count {
        let Some(length) = number(bytes, at) else { return Ok(None) };
        let length = length as i32;
        if !(-1..=MOST_BYTES).contains(&length) {
            return Err(broken(&format!("a field claims {length} bytes")));
        }
        at += 4 + usize::try_from(length).unwrap_or(0);
    }
    Ok(Some(at).filter(|end| *end <= bytes.len()))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
        let mut bytes = [SIGNATURE, &[0; 8]].concat();
        for row in rows {
            bytes.extend((row.len() as i16).to_be_bytes());
            for field in *row {
                bytes.extend(field.map_or(-1, |f| f.len() as i32).to_be_bytes());
                bytes.extend(field.unwrap_or_default());
            }
        }
        [&bytes[..], &[255, 255]].concat()
    }

    #[test]
    fn a_stream_gives_the_same_tuples_however_it_is_cut() {
        let rows: [&[Option<&[u8]>]; 4] =
            [&[Some(b"ab"), None], &[], &[Some(b"")], &[Some(&[7; 40]), Some(b"x"), None]];
        let bytes = stream(&rows);
        let split = |step: usize| {
            let (mut tuples, mut seen) = (Tuples::default(), Vec::new());
            for piece in bytes.chunks(step) {
                tuples.feed(piece, |tuple| seen.push(tuple.to_vec())).unwrap();
                assert!(tuples.rest.len() <= 64, "more is held than one tuple");
            }
            tuples.finish().unwrap();
            seen
        };
        let whole = split(bytes.len());
        assert_eq!(whole.len(), 4);
        assert_eq!(whole[0], [&2i32.to_be_bytes()[..], b"ab", &(-1i32).to_be_bytes()].concat());
        for step in 1..bytes.len() {
            assert_eq!(split(step), whole, "{step}");
        }
    }

    #[test]
    fn a_stream_that_cannot_be_is_an_error_and_never_memory() {
        let whole = stream(&[&[Some(b"ab")]]);
        for end in 0..whole.len() {
            let mut tuples = Tuples::default();
            tuples.feed(&whole[..end], |_| {}).unwrap();
            assert!(tuples.finish().is_err(), "{end}");
        }
        let refused = |bytes: &[u8]| Tuples::default().feed(bytes, |_| {}).unwrap_err().to_string();
        assert!(refused(b"this is no stream of COPY").contains("PGCOPY"));
        assert!(refused(&[SIGNATURE, &[0, 0, 0, 0, 255, 255, 255, 255]].concat()).contains("extension"));
        let claims = [&[0u8, 1][..], &i32::MAX.to_be_bytes()].concat();
        assert!(refused(&[SIGNATURE, &[0; 8], &claims].concat()).contains("claims"));
        assert!(refused(&[&whole[..], b"more"].concat()).contains("after the trailer"));
    }
}
