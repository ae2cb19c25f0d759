//! Where credentials come from and how they stay out of sight: `${env:X}` and `${file:X}` references, a type that
//! never shows its value, and the list of values that the terminal and run.json must never carry.

use std::fmt;
use std::sync::Mutex;

use crate::error::{Error, Result};
use crate::plain_file;

/// A value that can be used but not shown.
#[derive(Clone)]
pub struct Secret(String);

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Secret {
    pub fn new(value: String) -> Secret {
        let mut seen = SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if value.len() >= 3 && !seen.contains(&value) {
            seen.push(value.clone());
            // One secret may hold another, whose rest must not stay.
            seen.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
        Secret(value)
    }

    /// For handing to a driver, never to a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The last line of defence: every secret this process has read is blotted out of a text.
pub fn redact(text: &str) -> String {
    let seen = SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    seen.iter()
        .fold(text.to_owned(), |text, secret| if text.contains(secret) { text.replace(secret, "***") } else { text })
}

/// The same for every text of a JSON document, before it is written as text.
pub fn redact_json(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => *text = redact(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(redact_json),
        serde_json::Value::Object(entries) => entries.values_mut().for_each(redact_json),
        _ => {}
    }
}

/// Replaces `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}`.
pub fn expand(text: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            return Err(Error::config("a ${ without its }"));
        };
        out.push_str(&reference(&rest[at + 2..at + end])?);
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn reference(reference: &str) -> Result<String> {
    match reference.split_once(':') {
        Some(("env", name)) => {
            let (name, default) = name.split_once(":-").map_or((name, None), |(name, default)| (name, Some(default)));
            match (std::env::var(name), default) {
                (Ok(value), _) if !value.is_empty() => Ok(value),
                (_, Some(default)) => Ok(default.to_owned()),
                _ => Err(Error::config(format!("the environment variable {name} is not set"))
                    .hint(format!("export {name}=..."))),
            }
        }
        Some(("file", path)) => {
            let wrong = |e: &dyn fmt::Display| Error::config(format!("cannot read the secret in {path}")).cause(e);
            let bytes = plain_file::read(std::path::Path::new(path), plain_file::SECRET).map_err(|e| wrong(&e))?;
            let text = String::from_utf8(bytes).map_err(|_| wrong(&"it is not UTF-8 text"))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        _ => Err(Error::config(format!("${{{reference}}} is neither ${{env:NAME}} nor ${{file:PATH}}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2-of-the-test".into());
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(redact("password=hunter2-of-the-test;"), "password=***;");
        let _longer = Secret::new("hunter2-of-the-test-and-more".into());
        assert_eq!(redact("password=hunter2-of-the-test-and-more;"), "password=***;");
    }

    #[test]
    fn references_are_expanded_or_named() {
        assert_eq!(expand("a ${env:DAYMILL_NO_SUCH:-b} c").unwrap(), "a b c");
        assert!(expand("${env:DAYMILL_NO_SUCH}").unwrap_err().message.contains("DAYMILL_NO_SUCH"));
        assert!(expand("${vault:x}").unwrap_err().message.contains("vault"));
        assert!(expand("${env:X").is_err());
    }
}
