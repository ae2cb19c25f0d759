//! Cases: folders with input tables, an interval and the published rows that are expected.

mod case;
mod compare;
mod input;
mod record;
mod results;
mod rows;
mod run;
mod source;

pub use case::{Case, find};
pub use record::{Recording, record};
pub use results::{Outcome, junit, tap};
pub use run::{Means, run};
