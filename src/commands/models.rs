//! `models`: which version of a model an alias means.

use chrono::{DateTime, Utc};

use crate::cli::{Global, Models};
use crate::error::{Error, Result};
use crate::interval::instant;
use crate::output;
use crate::score::Bundle;
use crate::score::shelf::{Promotion, promote};

pub fn models(global: &Global, command: &Models) -> Result<u8> {
    match command {
        Models::Promote { model, alias, at, note } => {
            let root = super::root(global)?;
            let (folder, version) = model
                .rsplit_once('@')
                .and_then(|(folder, version)| Some((folder, version.parse::<i64>().ok()?)))
                .ok_or_else(|| {
                    Error::usage(format!("{model:?} does not name a version")).hint("as in models/flight_delay@3")
                })?;
            let at = match at {
                None => Utc::now(),
                Some(text) => text.parse::<DateTime<Utc>>().map_err(|_| {
                    Error::usage(format!("--at {text:?} is not a time")).hint("as in 2013-06-08T00:00:00Z")
                })?,
            };
            if alias.is_empty() || alias.parse::<i64>().is_ok() {
                return Err(Error::usage(format!("{alias:?} cannot be an alias")).hint("a number is a version"));
            }
            // Only what opens, and passes its oracle, can be promoted.
            let bundle = Bundle::find(&root, model)?;
            let promotion = Promotion { alias: alias.clone(), version, at, note: note.clone() };
            let path = promote(&root.join(folder), &promotion)?;
            output::result(&format!("{alias} is {} since {} ({})", bundle.label(), instant(at), path.display()))?;
            Ok(0)
        }
    }
}
