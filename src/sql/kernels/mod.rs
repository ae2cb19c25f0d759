//! What the functions of the transform's SQL compute, column by column. Postgres' meaning is reached here and nowhere
//! else: the engine only carries the columns.

pub mod arith;
pub mod cast;
pub mod columns;
pub mod group;
pub mod interval;
pub mod math;
pub mod number_text;
pub mod parse_time;
pub mod pattern;
pub mod text;
pub mod time;
pub mod to_char;
pub mod window;
pub mod zone;
