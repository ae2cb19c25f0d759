//! Strings and keys as TOML has them.

/// A string in quotes.
pub fn toml_string(text: &str) -> String {
    // JSON has the same escapes, but for one control character.
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A key, in quotes where it needs them.
pub fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { toml_string(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["", "plain", "a b", "\"quoted\" \\ back", "tab\tline\n\u{1}\u{7f}\u{80}", "ü 東 \u{1f600}", "a.b"]
        {
            let written = format!("{} = {}", toml_key(text), toml_string(text));
            let table = toml::de::DeTable::parse(&written).unwrap().into_inner();
            let (key, value) = table.iter().next().unwrap();
            assert_eq!((key.get_ref().as_ref(), value.get_ref().as_str()), (text, Some(text)), "{written}");
        }
        assert_eq!(toml_key("order_id-1"), "order_id-1");
    }
}
