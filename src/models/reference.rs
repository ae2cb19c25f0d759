//! How models are named. What a user writes is a [`ModelRef`], a folder and a version or an alias of it; what scored is a
//! [`ModelId`]. Only here is the `@` between them read.

use std::fmt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::promotions::promoted;
use crate::error::{Error, Result};

/// `folder@3` or `folder@champion`. The folder is below the project's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelRef {
    pub folder: String,
    pub version: Version,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    Number(i64),
    Alias(String),
}

impl ModelRef {
    /// Reads what a user wrote; nothing when it does not say which version.
    pub fn parse(text: &str) -> Option<ModelRef> {
        // A bundle's folder is its version of the folder above.
        let number = |last: &str| last.parse::<i64>().is_ok_and(|n| n.to_string() == last);
        let by_folder = || text.trim_end_matches('/').rsplit_once('/').filter(|(_, last)| number(last));
        let named = text.rsplit_once('@').filter(|(_, version)| !version.contains('/'));
        let (folder, version) = named.or_else(by_folder)?;
        let version = match version.parse::<i64>() {
            Ok(number) => Version::Number(number),
            Err(_) if version.is_empty() => return None,
            Err(_) => Version::Alias(version.to_owned()),
        };
        Some(ModelRef { folder: folder.to_owned(), version })
    }

    /// The same, with words for who forgot the version.
    pub fn required(text: &str) -> Result<ModelRef> {
        ModelRef::parse(text).ok_or_else(|| {
            Error::config(format!("the model {text:?} does not say which version"))
                .hint("write folder@champion or folder@3")
        })
    }

    /// The folder that holds the versions.
    pub fn family(&self, root: &Path) -> PathBuf {
        root.join(&self.folder)
    }

    /// With what an alias meant at a time in its place.
    pub fn at(&self, root: &Path, at: DateTime<Utc>) -> Result<ModelRef> {
        let number = match &self.version {
            Version::Number(number) => *number,
            Version::Alias(alias) => promoted(&self.family(root), alias, at)?,
        };
        Ok(ModelRef { folder: self.folder.clone(), version: Version::Number(number) })
    }

    /// The folder of the version, when it is a number.
    pub fn package(&self, root: &Path) -> Option<PathBuf> {
        match &self.version {
            Version::Number(number) => Some(self.family(root).join(number.to_string())),
            Version::Alias(_) => None,
        }
    }

    pub fn number(&self) -> Option<i64> {
        match self.version {
            Version::Number(number) => Some(number),
            Version::Alias(_) => None,
        }
    }

    /// Without the folders above its own, for a narrow column.
    pub fn short(&self) -> String {
        self.to_string().rsplit('/').next().unwrap_or_default().to_owned()
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Number(number) => write!(f, "{}@{number}", self.folder),
            Version::Alias(alias) => write!(f, "{}@{alias}", self.folder),
        }
    }
}

impl From<ModelRef> for String {
    fn from(reference: ModelRef) -> String {
        reference.to_string()
    }
}

impl TryFrom<String> for ModelRef {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<ModelRef, String> {
        ModelRef::parse(&text).ok_or_else(|| format!("{text:?} is no model: it does not say which version"))
    }
}

/// A model that is open, told from every other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelId {
    /// Where it was found.
    pub folder: PathBuf,
    pub name: String,
    pub version: i64,
    /// SHA-256 of the weights, and of model.toml.
    pub weights: String,
    pub signature: String,
}

impl ModelId {
    /// `name@version`, as it stands beside published rows.
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// The label and the digests: equal for the same model in another folder.
impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.label(), self.weights, self.signature)
    }
}

/// A label, `name@version`, taken apart.
pub fn label_parts(label: &str) -> Option<(&str, i64)> {
    let (name, version) = label.rsplit_once('@')?;
    Some((name, version.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_folder_and_a_version_or_an_alias() {
        let parsed = |text: &str| ModelRef::parse(text).map(|r| (r.folder.clone(), r.number(), r.to_string()));
        assert_eq!(parsed("models/x@3"), Some(("models/x".into(), Some(3), "models/x@3".into())));
        assert_eq!(parsed("models/x/3"), parsed("models/x@3"));
        assert_eq!(parsed("models/x/3/"), parsed("models/x@3"));
        assert_eq!(parsed("/srv/a@b/x/3"), Some(("/srv/a@b/x".into(), Some(3), "/srv/a@b/x@3".into())));
        assert_eq!((parsed("models/x/007"), parsed("models/x/+7"), parsed("models/x/final")), (None, None, None));
        assert_eq!(parsed("a@b/x@champion"), Some(("a@b/x".into(), None, "a@b/x@champion".into())));
        // As the folder of the version is named.
        assert_eq!(parsed("x@007"), Some(("x".into(), Some(7), "x@7".into())));
        assert_eq!((parsed("models/x"), parsed("models/x@")), (None, None));
        let reference = ModelRef::parse("models/x@12").unwrap();
        assert_eq!(reference.short(), "x@12");
        assert_eq!(reference.package(Path::new("/p")), Some(PathBuf::from("/p/models/x/12")));
        assert_eq!(ModelRef::parse("x@champion").unwrap().package(Path::new("/p")), None);
        assert_eq!(serde_json::to_string(&reference).unwrap(), "\"models/x@12\"");
        assert!(serde_json::from_str::<ModelRef>("\"models/x\"").is_err());
        assert_eq!(label_parts("flight_delay@3"), Some(("flight_delay", 3)));
        assert_eq!((label_parts("flight_delay"), label_parts("x@champion")), (None, None));
    }
}
