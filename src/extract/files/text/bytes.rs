//! The bytes of a text file as UTF-8: hashed as they are, decompressed by what they begin with, and decoded.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};
use sha2::{Digest, Sha256};

use crate::digest::to_hex;
use crate::error::{Error, Result};
use crate::plain_file::regular;

const BLOCK: usize = 256 << 10;

/// A text file that is being read.
pub struct Input {
    reader: Box<dyn Read + Send>,
    raw: Hashing,
}

/// Bytes of a file that are hashed as they pass. Clones share the file.
#[derive(Clone)]
struct Hashing(Arc<Mutex<(File, Sha256)>>);

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, hasher) = &mut *inner;
        let read = file.read(buffer)?;
        hasher.update(&buffer[..read]);
        Ok(read)
    }
}

impl Input {
    /// Opens a file whose text is in this encoding. A byte order mark in the file is heard before it.
    pub fn open(path: &Path, encoding: &str) -> Result<Input> {
        regular(path)?;
        let file = File::open(path).map_err(|e| Error::unreadable(path, &e))?;
        let raw = Hashing(Arc::new(Mutex::new((file, Sha256::new()))));
        let failed = |e: io::Error| Error::unreadable(path, &e);
        let (begin, stream) = peek(raw.clone()).map_err(failed)?;
        let plain = decompressed(path, &begin, stream)?;
        let (begin, plain) = peek(plain).map_err(|e| broken(path, &e))?;
        let named = Encoding::for_label(encoding.as_bytes()).unwrap_or(UTF_8);
        let (encoding, mark) = Encoding::for_bom(&begin).unwrap_or((named, 0));
        let mut plain = plain;
        let mut skipped = [0; 4];
        plain.read_exact(&mut skipped[..mark]).map_err(failed)?;
        let reader: Box<dyn Read + Send> = match encoding == UTF_8 {
            true => plain,
            false => Box::new(Decoding::new(plain, encoding)),
        };
        Ok(Input { reader, raw })
    }

    pub fn read(&mut self, path: &Path, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|e| broken(path, &e)),
            }
        }
    }

    /// The SHA-256 of the whole file as it stands.
    pub fn finish(mut self, path: &Path) -> Result<String> {
        // What follows the compressed text belongs to the file too.
        io::copy(&mut self.raw, &mut io::sink()).map_err(|e| Error::unreadable(path, &e))?;
        let inner = self.raw.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(to_hex(&inner.1.clone().finalize()))
    }
}

fn broken(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => Error::unreadable(path, error),
        io::ErrorKind::UnexpectedEof => Error::input(format!("{} ends in the middle", path.display()))
            .cause(error)
            .hint("was it still being written? Replace it with a whole one"),
        _ => Error::input(format!("{} is damaged", path.display())).cause(error).hint("replace it with a whole one"),
    }
}

/// The first bytes of a stream, and the stream with them.
fn peek(mut stream: impl Read + Send + 'static) -> io::Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut begin = Vec::with_capacity(6);
    stream.by_ref().take(6).read_to_end(&mut begin)?;
    Ok((begin.clone(), Box::new(Cursor::new(begin).chain(stream))))
}

/// The text of a stream, by its first bytes: gzip, zstd or plain. Other kinds are named and refused.
fn decompressed(path: &Path, begin: &[u8], stream: Box<dyn Read + Send>) -> Result<Box<dyn Read + Send>> {
    const REFUSED: [(&[u8], &str); 6] = [
        (b"BZh", "compressed with bzip2"),
        (b"\xfd7zXZ\0", "compressed with xz"),
        (b"PK\x03\x04", "a zip archive (or a workbook of Excel)"),
        (b"PAR1", "a Parquet file"),
        (b"\x04\x22\x4d\x18", "compressed with lz4"),
        (b"\xd0\xcf\x11\xe0", "a workbook of Excel"),
    ];
    if let Some((_, what)) = REFUSED.iter().find(|(magic, _)| begin.starts_with(magic)) {
        return Err(Error::input(format!("{} is {what}, and not text", path.display()))
            .hint("text is read plain, or compressed with gzip or zstd"));
    }
    let buffered = BufReader::with_capacity(BLOCK, stream);
    if begin.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(buffered)));
    }
    if begin.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = zstd::stream::read::Decoder::with_buffer(buffered);
        return Ok(Box::new(decoder.map_err(|e| broken(path, &e))?));
    }
    let name = path.to_string_lossy().to_lowercase();
    match [".gz", ".zst", ".zstd"].iter().find(|end| name.ends_with(*end)) {
        // An empty file of such a name was never finished: the compression of nothing has bytes.
        Some(end) => Err(Error::input(format!("{} is not compressed as its name says ({end})", path.display()))
            .hint("was it still being written? Replace it with a whole one, or rename it")),
        None => Ok(Box::new(buffered)),
    }
}

/// Text of another encoding as UTF-8. What is no text of it is an error with its line.
struct Decoding {
    inner: Box<dyn Read + Send>,
    decoder: Decoder,
    raw: Vec<u8>,
    /// The part of `raw` that was not decoded yet.
    from: usize,
    until: usize,
    line: u64,
    ended: bool,
}

impl Decoding {
    fn new(inner: Box<dyn Read + Send>, encoding: &'static Encoding) -> Decoding {
        let decoder = encoding.new_decoder_without_bom_handling();
        Decoding { inner, decoder, raw: vec![0; BLOCK], from: 0, until: 0, line: 1, ended: false }
    }
}

impl Read for Decoding {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.from == self.until && !self.ended {
                (self.from, self.until) = (0, self.inner.read(&mut self.raw)?);
                self.ended = self.until == 0;
            }
            let input = &self.raw[self.from..self.until];
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(input, buffer, self.ended);
            self.from += read;
            self.line += buffer[..written].iter().filter(|byte| **byte == b'\n').count() as u64;
            if let DecoderResult::Malformed(..) = result {
                let what = format!(
                    "line {}: there are bytes that are no text in {}",
                    self.line,
                    self.decoder.encoding().name()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            if written > 0 || self.ended || buffer.len() < 4 {
                return Ok(written);
            }
        }
    }
}
