//! The record of promotions: which version an alias means, and since when. It is appended to and never edited.

use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::config::{Source, Table, meant};
use crate::error::{Error, Result};
use crate::interval::instant;

/// The name of the record of promotions, beside the versions of a model.
pub const PROMOTIONS: &str = "promotions.toml";

/// From `at` on, `alias` means `version`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    pub alias: String,
    pub version: i64,
    pub at: DateTime<Utc>,
    pub note: Option<String>,
}

/// Every promotion of a model, in the order of the file, which is the order of time.
pub fn promotions(family: &Path) -> Result<Vec<Promotion>> {
    let path = family.join(PROMOTIONS);
    let source = Source::open(&path).map_err(|e| {
        Error::input(format!("no version of {} was ever promoted", family.display()))
            .cause(e)
            .hint("name a version, as in folder@3, or promote one: daymill models promote folder@3")
    })?;
    let found = source.read(&crate::keys::PROMOTIONS, |root| {
        let mut found: Vec<Promotion> = Vec::new();
        for table in root.tables("promotion") {
            let promotion = promotion(&table);
            let Some(promotion) = promotion else { continue };
            if let Some(later) = found.iter().find(|p| p.alias == promotion.alias && p.at > promotion.at) {
                table.fault(
                    table.line(),
                    format!("this promotion is older than the one before it ({})", instant(later.at)),
                );
            }
            found.push(promotion);
        }
        found
    });
    match source.has_faults() {
        true => Err(Error::faults(source.into_faults())),
        false => Ok(found),
    }
}

fn promotion(table: &Table<'_>) -> Option<Promotion> {
    let (alias, version) = (table.string("alias"), table.count("version"));
    let at = table.string("at");
    let note = table.string("note").map(|at| at.value);
    let text = at?;
    let Ok(at) = text.value.parse::<DateTime<Utc>>() else {
        table.fault_hint(text.line, format!("at = {:?} is not a time", text.value), "as in \"2013-06-01T00:00:00Z\"");
        return None;
    };
    Some(Promotion { alias: alias?.value, version: version?.value as i64, at, note })
}

/// The version that an alias means at a time: that of the last promotion at or before it.
pub fn promoted(family: &Path, alias: &str, at: DateTime<Utc>) -> Result<i64> {
    let all = promotions(family)?;
    let of_alias: Vec<&Promotion> = all.iter().filter(|p| p.alias == alias).collect();
    if of_alias.is_empty() {
        let mut names: Vec<&str> = all.iter().map(|p| p.alias.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let hint =
            meant(alias, names.iter().copied()).unwrap_or_else(|| format!("the aliases are: {}", names.join(", ")));
        return Err(Error::input(format!("{} has no alias {alias:?}", family.join(PROMOTIONS).display())).hint(hint));
    }
    let standing = of_alias.iter().rev().find(|p| p.at <= at);
    standing.map(|p| p.version).ok_or_else(|| {
        Error::input(format!(
            "no version of {} was {alias} before {}: the first was promoted at {}",
            family.display(),
            instant(at),
            instant(of_alias[0].at)
        ))
    })
}

/// Appends a promotion to the record; what is there is never touched.
pub fn promote(family: &Path, promotion: &Promotion) -> Result<PathBuf> {
    let path = family.join(PROMOTIONS);
    if path.exists()
        && let Some(later) = promotions(family)?.iter().find(|p| p.alias == promotion.alias && p.at > promotion.at)
    {
        return Err(Error::usage(format!(
            "{} was promoted to {} at {}, which is after {}",
            later.version,
            later.alias,
            instant(later.at),
            instant(promotion.at)
        ))
        .hint("the record is only appended to; choose a later --at"));
    }
    let head = if path.exists() {
        "\n"
    } else {
        "# Which version an alias means, and since when. `daymill models promote` appends; nothing edits.\n\n"
    };
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!(
        "{head}[[promotion]]\nalias = {}\nversion = {}\nat = {}\n",
        quoted(&promotion.alias),
        promotion.version,
        quoted(&promotion.at.to_rfc3339_opts(SecondsFormat::Secs, true))
    );
    if let Some(note) = &promotion.note {
        text.push_str(&format!("note = {}\n", quoted(note)));
    }
    let file = std::fs::File::options().create(true).append(true).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| Error::io(&path, "append to", &e))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_means_what_it_meant_then() {
        let folder = tempfile::tempdir().unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        for (version, time) in [(1, "2013-06-01T00:00:00Z"), (2, "2013-06-10T00:00:00Z")] {
            let note = Some("a \"quoted\" note".into());
            promote(folder.path(), &Promotion { alias: "champion".into(), version, at: at(time), note }).unwrap();
        }
        let champion = |time: &str| promoted(folder.path(), "champion", at(time));
        assert_eq!(champion("2013-06-09T23:59:59Z").unwrap(), 1);
        assert_eq!(champion("2013-06-10T00:00:00Z").unwrap(), 2);
        assert_eq!(champion("2030-01-01T00:00:00Z").unwrap(), 2);
        assert!(champion("2013-05-01T00:00:00Z").is_err());
        assert!(promoted(folder.path(), "champoin", Utc::now()).unwrap_err().hint.unwrap().contains("champion"));
        let early = Promotion { alias: "champion".into(), version: 3, at: at("2013-06-05T00:00:00Z"), note: None };
        assert!(promote(folder.path(), &early).is_err());
        assert_eq!(promotions(folder.path()).unwrap().len(), 2);
    }
}
