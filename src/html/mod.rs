//! Pages about a job, as one file of HTML each: drawings in SVG, every drawing as a table too, no script, nothing from a network.

mod calendar;
mod drift_table;
mod job_page;
mod page;
mod scores;
mod svg;
mod tables;
mod volumes;

pub use job_page::{Aside, DayState, JobPage, PageDay};
pub use page::page;
