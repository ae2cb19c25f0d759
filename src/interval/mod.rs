//! Which span of time a run covers: days and hours of the job's own time zone, as half-open UTC instants.
//! Pure: the clock is an argument.

mod calendar;
pub mod relative;
mod words;

pub use calendar::{Grain, Interval, between, day, first_instant, instant};
pub use relative::parse_date;
pub use words::{Selection, resolve, within};
