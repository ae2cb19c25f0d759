//! `schema`: what editors need to know of the files of a project.

use std::path::Path;

use crate::cli::{Global, SchemaOf};
use crate::error::Result;
use crate::keys::{self, File};
use crate::output;
use crate::pipeline::report::RunReport;

/// The folder of a project that its files name in their first line.
pub const FOLDER: &str = "schemas";

pub fn print(file: SchemaOf) -> Result<u8> {
    let text = match file {
        SchemaOf::Project => text(&keys::PROJECT),
        SchemaOf::Job => text(&keys::JOB),
        SchemaOf::Case => text(&keys::CASE),
        SchemaOf::Model => text(&keys::MODEL),
        SchemaOf::Promotions => text(&keys::PROMOTIONS),
        SchemaOf::Run => pretty(&RunReport::schema()),
    };
    output::result(text.trim_end())?;
    Ok(0)
}

pub fn write(global: &Global) -> Result<u8> {
    let root = super::shared::root(global)?;
    let all = files();
    for (path, text) in &all {
        super::shared::write(&root.join(path), text.as_bytes())?;
    }
    output::result(&format!("{} schemas are in {FOLDER}", all.len()))?;
    Ok(0)
}

/// The schemas that a project has, and where in it.
pub fn files() -> Vec<(String, String)> {
    [&keys::PROJECT, &keys::JOB, &keys::CASE].map(|file| (path(file), text(file))).into()
}

/// The schemas of the project that are of another version of Daymill.
pub fn outdated(root: &Path) -> Vec<String> {
    let other = |(path, text): &(String, String)| std::fs::read_to_string(root.join(path)).is_ok_and(|t| t != *text);
    files().into_iter().filter(other).map(|(path, _)| path).collect()
}

fn path(file: &File) -> String {
    format!("{FOLDER}/{}.json", file.name)
}

fn text(file: &File) -> String {
    pretty(&keys::json_schema(file))
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
