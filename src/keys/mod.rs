//! Every key of every file that a user writes, declared once: what the reader checks, what docs/reference says and what the
//! JSON Schemas of editors hold is made of it.

mod all;
mod case;
mod job;
mod key;
mod model;
mod project;
mod promotions;
mod reference;
mod schema;

pub use all::FILES;
pub use case::CASE;
pub use job::JOB;
pub use key::{File, Key, Need, Shape, Takes};
pub use model::MODEL;
pub use project::PROJECT;
pub use promotions::PROMOTIONS;
pub use reference::reference;
pub use schema::json_schema;
