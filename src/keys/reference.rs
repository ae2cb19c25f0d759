//! A file's keys as a page of Markdown.

use super::key::{File, Key, Need, Shape, Takes};

/// The page of docs/reference.
pub fn reference(file: &File) -> String {
    let mut page = format!(
        "# {}\n\n{}\n\nThis page is made from what the program reads; `daymill schema {}` prints the same for editors.\n",
        file.path, file.about, file.name
    );
    section(&mut page, &file.root, &Place { path: String::new(), list: false });
    page
}

/// Where a table stands in the file.
struct Place {
    path: String,
    list: bool,
}

impl Place {
    fn below(&self, name: &str, list: bool) -> Place {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Place { path, list }
    }

    fn header(&self) -> String {
        if self.list { format!("[[{}]]", self.path) } else { format!("[{}]", self.path) }
    }
}

fn section(page: &mut String, shape: &Shape, place: &Place) {
    let values: Vec<&Key> =
        shape.keys.iter().filter(|key| below(key, place).is_empty() || is_value(&key.takes)).collect();
    if !values.is_empty() {
        page.push_str("\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
        values.iter().for_each(|key| page.push_str(&row(key)));
        page.push_str(&words(&values));
        page.push_str(&example(&values, place));
    }
    for key in shape.keys {
        for (place, shape) in below(key, place) {
            page.push_str(&format!("\n## `{}`\n\n{}\n", place.header(), key.about));
            if let Some(shape) = shape {
                section(page, shape, &place);
            }
        }
    }
}

/// Whether a key may stand as `key = value` in its table.
fn is_value(takes: &Takes) -> bool {
    match takes {
        Takes::Table(_) | Takes::Tables(_) | Takes::Anything => false,
        Takes::Named(_, each) => matches!(each, Takes::Number { .. }),
        Takes::Either(all) => all.iter().any(is_value),
        _ => true,
    }
}

/// The tables that begin at a key.
fn below(key: &Key, place: &Place) -> Vec<(Place, Option<&'static Shape>)> {
    match key.takes {
        Takes::Table(shape) => vec![(place.below(key.name, false), Some(shape))],
        Takes::Tables(shape) => vec![(place.below(key.name, true), Some(shape))],
        Takes::Anything => vec![(place.below(key.name, false), None)],
        Takes::Named(chosen, Takes::Table(shape)) => {
            vec![(place.below(&format!("{}.{chosen}", key.name), false), Some(shape))]
        }
        Takes::Named(chosen, Takes::Either(all)) => {
            let own = all.iter().find_map(|takes| if let Takes::Table(shape) = takes { Some(*shape) } else { None });
            let columns = place.below(key.name, false);
            let one = columns.below(chosen, false);
            std::iter::once((columns, None)).chain(own.map(|shape| (one, Some(shape)))).collect()
        }
        _ => Vec::new(),
    }
}

fn row(key: &Key) -> String {
    let need = match key.need {
        Need::Required => "required".to_owned(),
        Need::Optional => String::new(),
        Need::Default(text) if text.contains(['`', ' ']) => text.to_owned(),
        Need::Default(text) => format!("`{text}`"),
    };
    let only = match key.only {
        [] => String::new(),
        only => {
            let keys: Vec<String> = only.iter().map(|key| format!("`{key}`")).collect();
            format!(" Only for {}.", keys.join(", "))
        }
    };
    let since = if key.since == "0.1.0" { String::new() } else { format!(" Since {}.", key.since) };
    format!(
        "| `{}` | {} | {} | {}{only}{since} |\n",
        key.name,
        value(&key.takes),
        need.replace('|', "\\|"),
        key.about.replace('|', "\\|")
    )
}

fn value(takes: &Takes) -> String {
    match takes {
        Takes::Text | Takes::Like(_) => "text".into(),
        Takes::Boolean => "`true` or `false`".into(),
        Takes::Whole { from: 0, to: i64::MAX } => "whole number from 0".into(),
        Takes::Whole { from: 1, to: i64::MAX } => "whole number from 1".into(),
        Takes::Whole { from, to: i64::MAX } if *from == i64::MIN => "whole number".into(),
        Takes::Whole { from, to } => format!("whole number from {from} to {to}"),
        Takes::Number { from, to: f64::MAX } if from.is_finite() => format!("number from {from}"),
        Takes::Number { from, to } if from.is_finite() => format!("number from {from} to {to}"),
        Takes::Number { .. } => "number".into(),
        Takes::Pair => "two numbers".into(),
        Takes::Texts => "list of text".into(),
        Takes::Word(words) => words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
        Takes::Named(chosen, each) => format!("table of {chosen} = {}", value(each)),
        Takes::Either(all) => all.iter().map(value).collect::<Vec<_>>().join(", or "),
        Takes::Table(_) | Takes::Tables(_) | Takes::Anything => "table".into(),
    }
}

/// What each word of a key means.
fn words(keys: &[&Key]) -> String {
    let of = |key: &&&Key| match key.takes {
        Takes::Word(words) => Some(
            words.iter().map(|(word, means)| format!("- `{} = \"{word}\"`: {means}.\n", key.name)).collect::<String>(),
        ),
        _ => None,
    };
    let all: String = keys.iter().filter_map(|key| of(&key)).collect();
    if all.is_empty() { all } else { format!("\n{all}") }
}

/// Every key with a value.
fn example(keys: &[&Key], place: &Place) -> String {
    let lines: Vec<String> = keys
        .iter()
        .filter(|key| !key.example.is_empty())
        .map(|key| format!("{} = {}", key.name, key.example))
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    let header = if place.path.is_empty() { String::new() } else { format!("{}\n", place.header()) };
    format!("\nValues as they are written, not all of them at once:\n\n```toml\n{header}{}\n```\n", lines.join("\n"))
}
