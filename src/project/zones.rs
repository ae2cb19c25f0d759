//! Time zones in the files of a project.

use chrono_tz::Tz;

use crate::config::{At, Table, meant};

/// The value of a key that names a time zone.
pub fn zone(table: &Table<'_>, key: &str, at: &At<String>) -> Option<Tz> {
    let zone = at.value.parse().ok();
    if zone.is_none() {
        let hint = meant(&at.value, chrono_tz::TZ_VARIANTS.iter().map(|z| z.name()))
            .unwrap_or_else(|| "as in \"America/New_York\" or \"UTC\"".into());
        table.fault_hint(at.line, format!("{key} {:?} is not an IANA time zone", at.value), hint);
    }
    zone
}
