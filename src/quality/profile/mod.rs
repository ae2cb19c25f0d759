//! Profiles: what the values of a column are, in a few kilobytes. They are made batch by batch, on the threads that score, and add
//! up: to the same profile in whatever order the parts come.

mod bins;
mod column;
mod distinct;
mod numbers;
mod stored;
mod words;

pub use column::{ColumnProfile, Looking, Profiled, Side, Values};
pub use numbers::{Counted, KEPT, Numbers};
pub use stored::{Distribution, Group, StoredProfile};
pub use words::Words;
