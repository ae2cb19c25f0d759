//! Which span of time a run covers: days and hours of the job's own time zone, as half-open UTC instants.
//! Pure: the clock is an argument.

mod calendar;
mod words;

pub use calendar::{Grain, Interval, between, day, first_instant, instant};
pub use words::{Selection, parse_date, resolve, within};
