//! The kinds of files.

use super::key::File;
use super::{CASE, JOB, MODEL, PROJECT, PROMOTIONS};

/// Every kind of file, in the order of the documents.
pub const FILES: [&File; 5] = [&PROJECT, &JOB, &CASE, &MODEL, &PROMOTIONS];
