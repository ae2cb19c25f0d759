//! Whether a key stands on two rows, in memory that does not follow the day. Keys come as 128 bits of a hash, so their
//! first bits divide them evenly: beyond a few million they go to unnamed files, one for each part, and are looked at
//! part by part.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};

use crate::error::{Error, Result};

/// Keys that are held in memory: 32 MiB.
const HELD: usize = 1 << 21;
const PARTS: usize = 64;
const BUFFER_BYTES: usize = 1 << 15;

#[derive(Default)]
pub struct DuplicateKeys {
    held: Vec<u128>,
    parts: Vec<BufWriter<File>>,
}

impl DuplicateKeys {
    pub fn add(&mut self, keys: &[u128]) -> Result<()> {
        self.held.extend_from_slice(keys);
        if self.held.len() < HELD {
            return Ok(());
        }
        if self.parts.is_empty() {
            let file = || tempfile::tempfile().map(|file| BufWriter::with_capacity(BUFFER_BYTES, file));
            self.parts = (0..PARTS).map(|_| file()).collect::<std::io::Result<_>>().map_err(|e| io(&e))?;
        }
        for key in self.held.drain(..) {
            self.parts[(key >> 122) as usize].write_all(&key.to_ne_bytes()).map_err(|e| io(&e))?;
        }
        Ok(())
    }

    /// Whether some key was added twice. The keys are gone afterwards.
    pub fn repeat(&mut self) -> Result<bool> {
        let rest = std::mem::take(&mut self.held);
        if self.parts.is_empty() {
            return Ok(repeats(rest));
        }
        for (number, part) in std::mem::take(&mut self.parts).into_iter().enumerate() {
            let mut keys: Vec<u128> = rest.iter().copied().filter(|key| (key >> 122) as usize == number).collect();
            read(part, &mut keys).map_err(|e| io(&e))?;
            if repeats(keys) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn read(part: BufWriter<File>, keys: &mut Vec<u128>) -> std::io::Result<()> {
    let mut file = part.into_inner().map_err(|e| e.into_error())?;
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    keys.extend(bytes.chunks_exact(16).map(|key| u128::from_ne_bytes(key.try_into().unwrap_or_default())));
    Ok(())
}

/// Dealt by some of their bits, the keys make small groups, which are sorted in the fastest memory.
fn repeats(keys: Vec<u128>) -> bool {
    const GROUPS: usize = 4096;
    // Not the first bits: those of one part are all the same.
    let group = |key: &u128| *key as usize % GROUPS;
    let mut starts = vec![0; GROUPS + 1];
    keys.iter().for_each(|key| starts[group(key) + 1] += 1);
    for group in 0..GROUPS {
        starts[group + 1] += starts[group];
    }
    let (mut next, mut dealt) = (starts.clone(), vec![0; keys.len()]);
    for key in keys {
        let at = &mut next[group(&key)];
        dealt[*at] = key;
        *at += 1;
    }
    starts.windows(2).any(|group| {
        let group = &mut dealt[group[0]..group[1]];
        group.sort_unstable();
        group.windows(2).any(|pair| pair[0] == pair[1])
    })
}

fn io(error: &std::io::Error) -> Error {
    Error::io(&std::env::temp_dir(), "keep the day's keys in", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_of_keys_is_looked_at() {
        for group in [0, 1, 2047, 4094, 4095_u128] {
            let mut keys: Vec<u128> = (0..9000).map(|i| i * 0x1_0000_0001).collect();
            assert!(!repeats(keys.clone()));
            keys.extend([(7 << 64) + group, (9 << 64) + group, (7 << 64) + group]);
            assert!(repeats(keys), "{group}");
        }
        assert!(!repeats(Vec::new()));
    }

    #[test]
    fn a_key_that_stands_twice_is_found_in_memory_and_beyond() {
        // Spread as hashes are.
        let key = |i: u64| u128::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        for (n, again) in [
            (10, Some(3)),
            (10, None),
            (HELD as u64 * 2 + 77, None),
            (HELD as u64 * 2 + 77, Some(5)),
            (HELD as u64, Some(HELD as u64 - 1)),
        ] {
            let mut keys = DuplicateKeys::default();
            for from in (0..n).step_by(100_000) {
                keys.add(&(from..n.min(from + 100_000)).map(key).collect::<Vec<_>>()).unwrap();
            }
            keys.add(&again.map(key).into_iter().collect::<Vec<_>>()).unwrap();
            assert_eq!(keys.repeat().unwrap(), again.is_some(), "{n} keys, {again:?} again");
        }
    }
}
