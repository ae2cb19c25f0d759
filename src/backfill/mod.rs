//! Many intervals of a job: a plan of what each needs and why, and workers that run what the plan takes. Every interval
//! commits on its own; one bad day never stops the others.

pub mod plan;
mod workers;

pub use workers::{CACHE_BYTES, Event, Finished, Task, run};
