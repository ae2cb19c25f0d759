//! What is looked at in the rows of a run before they are published: the job's checks, the profiles of its scores, the time
//! that each row must have. Each look is made batch by batch, on the threads that score, and parts add up.

mod bits;
pub mod checks;
pub mod profile;
pub mod within;
