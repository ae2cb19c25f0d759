//! What is looked at in the rows of a run before they are published: the job's checks, the profiles of its scores, the time
//! that each row must have. Each look is made batch by batch, on the threads that score, and parts add up.

pub mod checks;
pub mod profile;
pub mod within;

/// Floats as their bits: JSON has no infinity and no NaN.
mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        value.to_bits().serialize(to)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}
