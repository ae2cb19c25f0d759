//! Daymill: a day's records in, a day's predictions out, exactly once.
//!
//! For a first reading, in this order: [`interval`] says which day; [`project`] turns what the user wrote into what
//! will run; [`schedule`] says what each interval needs; [`pipeline`] runs one interval through the four stages
//! [`extract`], [`transform`], [`score`] and [`load`], and [`backfill`] runs many; the [`ledger`] remembers;
//! [`commands`] are the words of the command line. ARCHITECTURE.md draws the map.

pub mod cli;
pub mod commands;
pub mod output;

pub mod config;
pub mod fingerprint;
pub mod html;
pub mod interval;
pub mod keys;
pub mod models;
pub mod project;
pub mod quality;
pub mod run_state;
pub mod schedule;

pub mod backfill;
pub mod cases;
pub mod pipeline;

pub mod extract;
pub mod load;
pub mod logging;
pub mod score;
pub mod sql;
pub mod stats;
pub mod transform;

pub mod rows;

pub mod ledger;
pub mod postgres;
pub mod warehouse;

pub mod arrow_bridge;
pub mod digest;
pub mod drift;
pub mod error;
pub mod failpoints;
pub mod identifier;
pub mod memory;
pub mod parquet_file;
pub mod placeholders;
pub mod plain_file;
pub mod progress;

/// A caught panic as an error. Libraries panic when the system refuses them a file, memory or a thread; that is no defect.
pub fn caught(panic: &(dyn std::any::Any + Send)) -> error::Error {
    const REFUSED: [&str; 4] = [
        "Too many open files",
        "No space left on device",
        "Cannot allocate memory",
        "Resource temporarily unavailable",
    ];
    let text = panic_text(panic);
    match REFUSED.iter().find(|refused| text.contains(*refused)) {
        Some(refused) => error::Error::new(error::Class::Io, format!("the system refused: {refused}"))
            .cause(text)
            .hint("raise the limit (ulimit -n, ulimit -u, disk, memory); nothing was published"),
        // What a driver cannot take apart, a server should not have sent.
        None if memory::panicked_in(&text, &["/sqlx-", "/bytes-"]) => {
            error::Error::new(error::Class::Unavailable, "the server sent what makes no sense").cause(text)
        }
        None => error::Error::defect(text),
    }
}

/// What a caught panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
