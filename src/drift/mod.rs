//! Drift: how far the values of a column have moved from those of a reference, and whether that is more than chance and more
//! than usual. All of it is made of stored profiles; no row is read.

mod compare;
mod density;
mod drifted;
mod judge;

pub use compare::{Baseline, Movement, SMALLEST};
pub use drifted::{Against, ColumnDrift, Day, Drifted, FEWEST, drifted};
pub use judge::{Floors, Looked, Standing, judge, usual};
