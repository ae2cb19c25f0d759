//! A file's keys as a JSON Schema (draft 7), which editors and `taplo check` understand.

use serde_json::{Map, Value, json};

use super::key::{File, Key, Need, Shape, Takes};

/// The schema of a kind of file.
pub fn json_schema(file: &File) -> Value {
    let mut schema = of_shape(&file.root);
    let head = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": format!("Daymill: {}", file.path),
        "description": plain(file.about),
    });
    if let (Some(schema), Value::Object(mut whole)) = (schema.as_object_mut(), head) {
        whole.append(schema);
        return Value::Object(whole);
    }
    schema
}

fn of_shape(shape: &Shape) -> Value {
    let properties: Map<String, Value> = shape.keys.iter().map(|key| (key.name.to_owned(), of_key(key))).collect();
    let always = |key: &&Key| key.need == Need::Required && key.only.is_empty();
    let required: Vec<&str> = shape.keys.iter().filter(always).map(|key| key.name).collect();
    let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    let mut put = |name: &str, value: Value| schema[name] = value;
    if !required.is_empty() {
        put("required", json!(required));
    }
    if !shape.any.is_empty() {
        put("anyOf", shape.any.iter().map(|keys| json!({ "required": keys })).collect());
    }
    let bound: Map<String, Value> = shape
        .keys
        .iter()
        .filter(|key| !key.only.is_empty())
        .map(|key| (key.name.to_owned(), json!({ "anyOf": key.only.iter().map(|c| condition(c)).collect::<Vec<_>>() })))
        .collect();
    if !bound.is_empty() {
        put("dependencies", Value::Object(bound));
    }
    let needed: Vec<Value> = shape
        .keys
        .iter()
        .filter(|key| key.need == Need::Required)
        .flat_map(|key| {
            let then = json!({ "required": [key.name] });
            key.only.iter().map(move |only| json!({ "if": condition(only), "then": then }))
        })
        .collect();
    if !needed.is_empty() {
        put("allOf", Value::Array(needed));
    }
    schema
}

/// Holds for a table that has a key, or a key of some value.
fn condition(only: &str) -> Value {
    match only.split_once(" = ") {
        None => json!({ "required": [only] }),
        Some((key, word)) => {
            json!({ "required": [key], "properties": { key: { "const": word.trim_matches('"') } } })
        }
    }
}

fn of_key(key: &Key) -> Value {
    let mut schema = of_takes(&key.takes);
    schema["description"] = json!(plain(key.about));
    if let Need::Default(default) = key.need
        && let Some(value) = toml_value(default)
    {
        schema["default"] = value;
    }
    if !key.example.is_empty()
        && let Some(value) = toml_value(key.example)
    {
        schema["examples"] = json!([value]);
    }
    schema
}

fn of_takes(takes: &Takes) -> Value {
    match takes {
        Takes::Text => json!({ "type": "string" }),
        Takes::Like(pattern) => json!({ "type": "string", "pattern": pattern }),
        Takes::Boolean => json!({ "type": "boolean" }),
        Takes::Whole { from, to } => {
            let mut schema = json!({ "type": "integer" });
            if *from > i64::MIN {
                schema["minimum"] = json!(from);
            }
            if *to < i64::MAX {
                schema["maximum"] = json!(to);
            }
            schema
        }
        Takes::Number { from, to } => {
            let mut schema = json!({ "type": "number" });
            if from.is_finite() {
                schema["minimum"] = json!(from);
            }
            if *to < f64::MAX {
                schema["maximum"] = json!(to);
            }
            schema
        }
        Takes::Pair => json!({ "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 }),
        Takes::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Takes::Word(words) => json!({ "enum": words.iter().map(|(word, _)| word).collect::<Vec<_>>() }),
        Takes::Table(shape) => of_shape(shape),
        Takes::Tables(shape) => json!({ "type": "array", "items": of_shape(shape) }),
        Takes::Named(_, each) => json!({ "type": "object", "additionalProperties": of_takes(each) }),
        Takes::Either(all) => json!({ "anyOf": all.iter().map(of_takes).collect::<Vec<_>>() }),
        Takes::Anything => json!({ "type": "object" }),
    }
}

/// A default or an example as JSON, where it is a value and not words.
fn toml_value(text: &str) -> Option<Value> {
    let table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    serde_json::to_value(table.get("value")?).ok()
}

/// Without the marks of Markdown.
fn plain(text: &str) -> String {
    text.replace('`', "")
}
