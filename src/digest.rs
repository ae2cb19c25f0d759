//! SHA-256 of buffers and files, and the digest of a set of rows that does not depend on their order.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

pub fn hex(bytes: &[u8]) -> String {
    to_hex(&Sha256::digest(bytes))
}

pub fn file_hex(path: &Path) -> Result<String> {
    crate::plain_file::regular(path)?;
    let mut file = std::fs::File::open(path).map_err(|e| Error::unreadable(path, &e))?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).map_err(|e| Error::unreadable(path, &e))?;
    Ok(to_hex(&hasher.finalize()))
}

pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The sum, modulo 2^256, of the SHA-256 of each row's canonical bytes: equal for equal multisets of rows, whatever
/// their order and however they were divided among threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentHash {
    limbs: [u64; 4],
    rows: u64,
}

impl ContentHash {
    pub fn add(&mut self, row: &[u8]) {
        let digest = Sha256::digest(row);
        let mut limbs = [0u64; 4];
        for (limb, bytes) in limbs.iter_mut().zip(digest.chunks_exact(8)) {
            *limb = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        self.merge(&ContentHash { limbs, rows: 1 });
    }

    pub fn merge(&mut self, other: &ContentHash) {
        let mut carry = false;
        for (a, b) in self.limbs.iter_mut().zip(other.limbs) {
            let (sum, first) = a.overflowing_add(b);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*a, carry) = (sum, first || second);
        }
        self.rows += other.rows;
    }

    pub fn hex(&self) -> String {
        let mut bytes = self.limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect::<Vec<u8>>();
        bytes.extend(self.rows.to_le_bytes());
        hex(&bytes)
    }
}

/// The sum, modulo 2^128, of a fast hash of each row: tells whether a source still gives the rows it gave, in any order.
/// Made against accidents, not against forgers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowSum {
    sum: u128,
    rows: u64,
}

impl RowSum {
    pub fn add(&mut self, row: &[u8]) {
        self.sum = self.sum.wrapping_add(xxhash_rust::xxh3::xxh3_128(row));
        self.rows += 1;
    }

    pub fn hex(&self) -> String {
        format!("{:x}-{:032x}", self.rows, self.sum)
    }
}

/// 128 bits of SHA-256 that stand for a name, the same in every version.
pub fn name(bytes: &[u8]) -> u128 {
    let digest = Sha256::digest(bytes);
    u128::from_le_bytes(digest[..16].try_into().unwrap_or_default())
}

/// 128 bits that stand for a row's key. Equal keys always have equal ones, so no repetition is missed; a forger who makes two
/// keys that share theirs only has his own day refused.
pub fn row_key(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_set_ignores_order_but_not_content() {
        let of = |rows: &[&str]| {
            let mut set = ContentHash::default();
            rows.iter().for_each(|row| set.add(row.as_bytes()));
            set.hex()
        };
        assert_eq!(of(&["a", "b", "c"]), of(&["c", "a", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["a", "b", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["a", "c"]));
        let (mut left, mut right) = (ContentHash::default(), ContentHash::default());
        left.add(b"a");
        right.add(b"b");
        left.merge(&right);
        assert_eq!(left.hex(), of(&["b", "a"]));
    }
}
