//! What every kind of source, warehouse and model must do. Each suite has a list of its kinds at the top: a new one is a line
//! there, and every test is then its test too.

mod columns;
mod models;
mod quarantine;
mod sources;
mod warehouses;
