//! The one integration-test binary. Tests drive the real program on real components: files, SQLite, and a Postgres
//! that scripts/with-postgres.sh starts. Without that server the Postgres tests fail; they never pass silently.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_macros)]

mod attacks;
mod bad_input;
mod belongs;
mod calendar;
mod cases;
mod checks;
mod circles;
mod conformance;
mod documents;
mod drift;
mod exit_codes;
mod faults;
mod files;
mod foreign;
mod foreign_damage;
mod frames;
mod front_door;
mod gallery;
mod gates;
mod house;
mod logs;
mod many;
mod new_job;
mod nightly;
mod older;
mod postgres;
mod reference;
mod report;
mod run_qc;
mod servers;
mod snapshots;
mod sql;
mod support;
mod tampering;
mod targets;
mod text;
mod writers;
