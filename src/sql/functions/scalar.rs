//! Functions that give one value a row.

use super::{Call, numbers, texts, times};
use crate::sql::error::Result;
use crate::sql::expr::Ex;

/// A scalar function by its name and the types of its arguments.
pub fn scalar(call: &Call<'_>) -> Result<Ex> {
    for room in [numbers::call, texts::call, times::call] {
        if let Some(ex) = room(call)? {
            return Ok(ex);
        }
    }
    Err(call.unknown())
}
