//! What the user wrote -> what will run: daymill.toml, job files, connections, secrets and the environment.
//! Flag over environment over file over default is decided here, once.

pub mod check_spec;
pub mod connection;
pub mod cron;
mod depends;
pub mod drift_spec;
mod file_source;
pub mod gate_spec;
pub mod job;
mod libpq;
pub mod secrets;
mod settings;
mod table_spec;
mod tables;
mod zones;

pub use connection::{Connection, Target};
pub use job::Job;
pub use settings::{BATCH_ROWS, FILE, Project};
