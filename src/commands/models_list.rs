//! `models list`: the models of the project, by their folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::Utc;
use serde_json::json;

use crate::cli::{Global, Output};
use crate::error::Result;
use crate::models::Bundle;
use crate::models::promotions::{promoted, promotions};
use crate::output;

/// Folders that are looked into below the project's.
const DEEPEST: usize = 6;

pub fn list(global: &Global) -> Result<u8> {
    let root = super::shared::root(global)?;
    let mut found = Vec::new();
    bundles(&root, DEEPEST, &mut found);
    let mut families: BTreeMap<PathBuf, Vec<(i64, PathBuf)>> = BTreeMap::new();
    for folder in found {
        let number = folder.file_name().and_then(|name| name.to_str()?.parse().ok());
        if let (Some(number), Some(family)) = (number, folder.parent()) {
            families.entry(family.to_owned()).or_default().push((number, folder));
        }
    }
    let (mut rows, mut values, mut failed) = (Vec::new(), Vec::new(), None);
    for (family, mut versions) in families {
        versions.sort_by_key(|(number, _)| -number);
        let aliases = aliases(&family);
        for (number, folder) in versions {
            let name = family.strip_prefix(&root).unwrap_or(&family).display().to_string();
            let mine: Vec<&str> =
                aliases.iter().filter(|(_, version)| *version == number).map(|(alias, _)| alias.as_str()).collect();
            let opened = Bundle::open(&folder);
            let (kind, features, outputs) = match &opened {
                Ok(bundle) => {
                    (bundle.kind.name(), bundle.contract.features.len().to_string(), bundle.outputs.join(", "))
                }
                Err(error) => ("refused", "-".into(), error.message.clone()),
            };
            values.push(json!({
                "model": format!("{name}@{number}"), "aliases": mine, "kind": opened.as_ref().ok().map(|b| b.kind.name()),
                "outputs": opened.as_ref().ok().map(|b| b.outputs.clone()),
                "error": opened.as_ref().err().map(|e| e.message.clone()),
            }));
            rows.push(vec![format!("{name}@{number}"), mine.join(", "), kind.into(), features, outputs]);
            failed = failed.or(opened.err());
        }
    }
    match global.output {
        Output::Json => output::json(json!(values))?,
        Output::Human if rows.is_empty() => {
            output::result("the project has no models yet; daymill models import makes one of a model file")?;
        }
        Output::Human => output::result(&output::table(&["model", "aliases", "kind", "features", "outputs"], &rows))?,
    }
    failed.map_or(Ok(0), Err)
}

/// What each alias of a family means now.
fn aliases(family: &Path) -> Vec<(String, i64)> {
    let mut names: Vec<String> = promotions(family).unwrap_or_default().into_iter().map(|p| p.alias).collect();
    names.sort();
    names.dedup();
    let now = Utc::now();
    names.into_iter().filter_map(|alias| Some((alias.clone(), promoted(family, &alias, now).ok()?))).collect()
}

/// The folders that hold a model.toml. Hidden folders are left out; links are followed, no deeper than the rest.
fn bundles(folder: &Path, deeper: usize, found: &mut Vec<PathBuf>) {
    if folder.join("model.toml").is_file() {
        found.push(folder.to_owned());
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|_| deeper > 0) {
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && entry.path().is_dir() {
            bundles(&entry.path(), deeper - 1, found);
        }
    }
}
