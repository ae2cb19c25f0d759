//! The catalogue of faults: what is done to a run, and the oracle that looks at what is left. Each case has its number
//! in its name. `make faults` runs all of it at full size; `make test` a shorter form with the same cases.

mod backfills;
mod cuts;
mod disks;
mod hostile;
mod kills;
mod limits;
mod proxy;
mod races;
mod sabotage;
pub mod scene;
mod streams;
mod surroundings;
mod tls;
mod values;

/// Whether the whole catalogue was asked for.
pub fn full() -> bool {
    std::env::var("DAYMILL_FAULTS").is_ok_and(|size| size == "full" || size == "long")
}

/// The seed of this run; printed, so that a failure can be seen again.
pub fn seed() -> u64 {
    let seed = std::env::var("DAYMILL_SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(|| uuid::Uuid::now_v7().as_u128() as u64);
    eprintln!("DAYMILL_SEED={seed}");
    seed
}

/// Numbers that a seed determines (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}
