//! What a key is: its value, whether it must be there, what it means.

/// A kind of file.
pub struct File {
    /// What `daymill schema` and the documents call it.
    pub name: &'static str,
    /// Where such files lie.
    pub path: &'static str,
    pub about: &'static str,
    pub root: Shape,
}

/// A table: the keys that it may have.
pub struct Shape {
    pub keys: &'static [Key],
    /// Sets of keys; all of one of them must be there.
    pub any: &'static [&'static [&'static str]],
}

pub struct Key {
    pub name: &'static str,
    pub takes: Takes,
    pub need: Need,
    /// Sentences. The first says what the key is, and completes "NAME is missing: ...".
    pub about: &'static str,
    /// A value as TOML has it; nothing for tables.
    pub example: &'static str,
    /// The key is for tables that have one of these: `csv`, or `kind = "sqlite"`.
    pub only: &'static [&'static str],
    pub since: &'static str,
}

/// What a key's value is.
#[derive(Clone, Copy)]
pub enum Takes {
    Text,
    /// Text of this pattern. The reader has better words for what does not match, so only editors check it.
    Like(&'static str),
    Boolean,
    Whole {
        from: i64,
        to: i64,
    },
    Number {
        from: f64,
        to: f64,
    },
    /// `[low, high]`
    Pair,
    Texts,
    /// One of these words; each with its meaning.
    Word(&'static [(&'static str, &'static str)]),
    Table(&'static Shape),
    /// `[[key]]`
    Tables(&'static Shape),
    /// A table whose keys the user chooses, called so in the documents.
    Named(&'static str, &'static Takes),
    Either(&'static [Takes]),
    /// A table that is not looked into.
    Anything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Required,
    Optional,
    /// What holds without the key, in words or as TOML has it.
    Default(&'static str),
}

/// The first version of Daymill.
const FIRST: &str = "0.1.0";
pub(super) const ANY_NUMBER: Takes = Takes::Number { from: f64::NEG_INFINITY, to: f64::INFINITY };
/// A whole number of at least one.
pub(super) const COUNT: Takes = Takes::Whole { from: 1, to: i64::MAX };
pub(super) const DATE: Takes = Takes::Like(r"^\d{4}-\d{2}-\d{2}$");

pub(super) const fn key(name: &'static str, takes: Takes, about: &'static str, example: &'static str) -> Key {
    Key { name, takes, need: Need::Optional, about, example, only: &[], since: FIRST }
}

pub(super) const fn section(name: &'static str, takes: Takes, about: &'static str) -> Key {
    key(name, takes, about, "")
}

impl Key {
    pub(super) const fn required(self) -> Key {
        Key { need: Need::Required, ..self }
    }

    pub(super) const fn usually(self, default: &'static str) -> Key {
        Key { need: Need::Default(default), ..self }
    }

    pub(super) const fn only(self, only: &'static [&'static str]) -> Key {
        Key { only, ..self }
    }

    /// The first sentence, as it goes on in the middle of one.
    pub fn gist(&self) -> String {
        let first = self.about.split_once(". ").map_or(self.about, |(first, _)| first).trim_end_matches('.');
        let mut chars = first.chars();
        chars.next().map_or(String::new(), |c| c.to_lowercase().chain(chars).collect())
    }
}

impl Shape {
    pub(super) const fn of(keys: &'static [Key]) -> Shape {
        Shape { keys, any: &[] }
    }

    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Takes {
    /// What a value must be, as a message says it.
    pub fn must_be(&self) -> String {
        match self {
            Takes::Text | Takes::Like(_) | Takes::Word(_) => "a string".into(),
            Takes::Boolean => "true or false".into(),
            Takes::Whole { .. } => "a whole number".into(),
            Takes::Number { .. } => "a number".into(),
            Takes::Pair => "a pair of numbers".into(),
            Takes::Texts => "a list of strings".into(),
            Takes::Table(_) | Takes::Named(..) | Takes::Anything => "a table".into(),
            Takes::Tables(_) => "tables in [[ ]]".into(),
            Takes::Either(all) => all.iter().map(Takes::must_be).collect::<Vec<_>>().join(" or "),
        }
    }
}
