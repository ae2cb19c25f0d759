//! `models`: making bundles, looking at them, and which version of a model an alias means.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::cli::{Global, ImportModel, Models, Output};
use crate::error::{Error, Result};
use crate::failpoints;
use crate::interval::instant;
use crate::models::ModelRef;
use crate::models::cache::find;
use crate::models::import::{self, Wishes, link_name};
use crate::models::promotions::{Promotion, promote};
use crate::models::training::{TrainingProfile, gains};
use crate::models::{Bundle, diagnose};
use crate::output;
use crate::score::Model;
use crate::score::ModelKind;
use crate::score::contract::{Feature, Kind, Policy};

pub fn models(global: &Global, command: &Models) -> Result<u8> {
    match command {
        Models::Import(wishes) => import(global, wishes),
        Models::Verify { model, inputs, expected } => verify(global, model, inputs.as_deref(), expected),
        Models::Show { model } => show(global, model),
        Models::List => super::models_list::list(global),
        Models::Reference { model, from } => {
            let bundle = super::shared::named(global, model)?;
            let training = TrainingProfile::of(&bundle, from)?;
            let path = training.write(&bundle)?;
            let (rows, columns) = (output::count(training.rows), training.profiles.len());
            output::result(&format!("{}: {columns} columns of {rows} rows ({})", bundle.label(), path.display()))?;
            Ok(0)
        }
        Models::Promote { model, alias, at, note } => {
            let root = super::shared::root(global)?;
            let unnumbered =
                || Error::usage(format!("{model:?} does not name a version")).hint("as in models/flight_delay@3");
            let reference = ModelRef::parse(model).ok_or_else(unnumbered)?;
            let version = reference.number().ok_or_else(unnumbered)?;
            let at = match at {
                None => Utc::now(),
                Some(text) => text.parse::<DateTime<Utc>>().map_err(|_| {
                    Error::usage(format!("--at {text:?} is not a time")).hint("as in 2013-06-08T00:00:00Z")
                })?,
            };
            if alias.is_empty() || alias.parse::<i64>().is_ok() {
                return Err(Error::usage(format!("{alias:?} cannot be an alias")).hint("a number is a version"));
            }
            // Only what opens, and passes its oracle, can be promoted.
            let bundle = find(&root, &reference)?;
            let promotion = Promotion { alias: alias.clone(), version, at, note: note.clone() };
            let path = promote(&reference.family(&root), &promotion)?;
            output::result(&format!("{alias} is {} since {} ({})", bundle.label(), instant(at), path.display()))?;
            Ok(0)
        }
    }
}

/// The longest that an import may take. Nothing is left of one that is ended: a bundle appears whole or not at all.
fn import_limit() -> Duration {
    Duration::from_secs(failpoints::limit("IMPORT_SECONDS", 600) as u64)
}

/// Ends the program when an import takes too long.
pub fn in_time<T>(import: impl FnOnce() -> Result<T>) -> Result<T> {
    let limit = import_limit();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        if ended.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let error = Error::input(format!("the import took more than {} s and was ended", limit.as_secs()))
                .hint("the model is larger than any that is scored here in good time; nothing was written");
            output::error(&error);
            std::process::exit(error.class.exit_code().into());
        }
    });
    let imported = import();
    drop(done);
    imported
}

fn import(global: &Global, args: &ImportModel) -> Result<u8> {
    let name_of = |path: Option<&Path>| path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let version_of_folder = name_of(Some(&args.out)).and_then(|name| name.parse::<i64>().ok());
    let folder = if version_of_folder.is_some() { args.out.parent() } else { Some(args.out.as_path()) };
    let name = args.name.clone().or_else(|| name_of(folder)).ok_or_else(|| {
        Error::usage(format!("{} does not name a model", args.out.display()))
            .hint("as in -o models/flight_delay/4, or pass --name")
    })?;
    let wishes = Wishes {
        name,
        version: args.version.or(version_of_folder).unwrap_or(1),
        iterations: args.iterations,
        inputs: args.inputs.clone(),
        expected: args.expected.clone(),
        outputs: args.outputs.clone(),
    };
    let imported = in_time(|| import::import(&args.file, &args.out, &wishes))?;
    imported.notes.iter().for_each(|note| output::warn(note));
    let bundle = &imported.bundle;
    if global.output == Output::Json {
        let mut value = described(bundle)?;
        value["notes"] = json!(imported.notes);
        output::json(value)?;
        return Ok(0);
    }
    output::result(&format!(
        "{} in {}: {} features, {}; the oracle holds {} rows, largest difference {:.1e}\nlook at it with: daymill models show {}",
        bundle.label(),
        args.out.display(),
        bundle.contract.features.len(),
        size(bundle),
        bundle.oracle.rows,
        bundle.oracle.max_difference,
        args.out.display()
    ))?;
    Ok(0)
}

fn verify(global: &Global, model: &str, inputs: Option<&Path>, expected: &[String]) -> Result<u8> {
    let bundle = super::shared::named(global, model)?;
    let mut lines = vec![format!(
        "{}: the weights and the signature are whole, {} rows of the oracle agree (largest difference {:.1e}, allowed {:.1e})",
        bundle.label(),
        bundle.oracle.rows,
        bundle.oracle.max_difference,
        bundle.oracle.tolerance
    )];
    let mut compared = Value::Null;
    if let Some(path) = inputs {
        let batch = import::sample(path)?;
        let (kept, features, counts) = bundle.contract.apply(&batch)?;
        let found = bundle.model.score(&features).map_err(|e| Error::defect("Candle failed to score").cause(e))?;
        let wanted = diagnose::expected(&kept, expected, bundle.outputs.len())?;
        let difference = match (&bundle.facts, bundle.kind) {
            (Some(facts), ModelKind::Foreign(format)) => {
                let bytes = crate::plain_file::read(&bundle.folder.join(&bundle.file), crate::plain_file::MODEL)?;
                let (iterations, model, contract) = (bundle.iterations, &bundle.model, &bundle.contract);
                diagnose::Question { bytes: &bytes, format, iterations, facts, model, contract }
                    .compare(&kept, &found, &wanted)?
            }
            _ if diagnose::near(&found, &wanted) => diagnose::worst(&found, &wanted).0,
            _ => {
                let difference = diagnose::worst(&found, &wanted).0;
                let what = format!("the outputs differ by up to {difference:e} from those in {}", path.display());
                return Err(Error::input(what));
            }
        };
        lines.push(format!(
            "{}: {} rows agree with the library's own outputs (largest difference {difference:.1e}); {} were dropped by policy",
            path.display(),
            kept.num_rows(),
            counts.dropped
        ));
        compared = json!({ "rows": kept.num_rows(), "max_difference": difference, "dropped": counts.dropped });
    }
    let warnings = warnings(&bundle);
    warnings.iter().for_each(|warning| output::warn(warning));
    if global.output == Output::Json {
        let oracle = serde_json::to_value(&bundle.oracle).unwrap_or_default();
        output::json(json!({ "model": bundle.label(), "oracle": oracle, "compared": compared, "warnings": warnings }))?;
        return Ok(0);
    }
    output::result(&lines.join("\n"))?;
    Ok(0)
}

/// What may go wrong with this model, as far as its file tells.
fn warnings(bundle: &Bundle) -> Vec<String> {
    let Some(facts) = &bundle.facts else { return Vec::new() };
    let mut found = Vec::new();
    if let (Some(best), None) = (facts.best_iteration, bundle.iterations)
        && best + 1 < facts.iterations
    {
        found.push(format!(
            "best_iteration: training was best after {} of {} iterations, and all are used; the library's scikit-learn \
             classes use {0}. Say iterations = {0} in model.toml, or = {1} to mean it",
            best + 1,
            facts.iterations
        ));
    }
    if facts.names.is_empty() {
        found.push("column order: the file names no features, so their order can only be believed".into());
    }
    for (feature, _) in bundle.contract.features.iter().zip(&facts.categorical).filter(|(_, categorical)| **categorical)
    {
        if matches!(feature.kind, Kind::Number) {
            found.push(format!(
                "category codes: {:?} is categorical, and its column must hold the very codes of training",
                feature.name
            ));
        }
    }
    found
}

/// Trees, their depth and leaves, or weights.
fn size(bundle: &Bundle) -> String {
    if let Model::Graph(graph) = &bundle.model {
        return format!("a graph of {}", graph.description());
    }
    let Model::Trees(trees) = &bundle.model else {
        return format!("{} outputs of a {} model", bundle.outputs.len(), bundle.kind);
    };
    let leaves: usize = trees.parts.trees.iter().map(|tree| tree.outputs.first().map_or(0, |o| o.values.len())).sum();
    let splits: usize = trees.parts.trees.iter().map(|tree| tree.nodes.iter().filter_map(|n| n.split()).count()).sum();
    let depth = trees.parts.trees.iter().map(crate::score::trees::depth).max().unwrap_or(0);
    let leaves = leaves.min(splits + trees.parts.trees.len());
    format!(
        "{} trees with {} leaves, at most {depth} deep",
        output::count(trees.parts.trees.len() as u64),
        output::count(leaves as u64)
    )
}

fn described(bundle: &Bundle) -> Result<Value> {
    let path = bundle.folder.join("model.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::unreadable(&path, &e))?;
    let table: toml::Table =
        text.parse().map_err(|e| Error::input(format!("{} is not TOML", path.display())).cause(e))?;
    let gains = gains(bundle);
    let feature = |(index, feature): (usize, &Feature)| {
        json!({
            "name": feature.name, "type": feature.type_name(), "null": policy(feature.null), "nan": policy(feature.nan),
            "gain": gains.get(index),
        })
    };
    Ok(json!({
        "model": bundle.label(), "kind": bundle.kind.name(), "sha256": bundle.sha256, "outputs": bundle.outputs,
        "size": size(bundle), "iterations": bundle.iterations,
        "features": bundle.contract.features.iter().enumerate().map(feature).collect::<Vec<_>>(),
        "oracle": serde_json::to_value(&bundle.oracle).unwrap_or_default(),
        "lineage": table.get("lineage").and_then(|lineage| serde_json::to_value(lineage).ok()),
    }))
}

fn policy(policy: Policy) -> String {
    match policy {
        Policy::Error => "error".into(),
        Policy::Impute(value) => format!("impute {value}"),
        Policy::Drop => "drop".into(),
        Policy::Pass => "pass".into(),
    }
}

fn show(global: &Global, model: &str) -> Result<u8> {
    let bundle = super::shared::named(global, model)?;
    let described = described(&bundle)?;
    if global.output == Output::Json {
        output::json(described)?;
        return Ok(0);
    }
    let mut lines = vec![
        format!("model      {}", bundle.label()),
        format!("kind       {}, {}", bundle.kind, size(&bundle)),
        format!("file       {} ({})", bundle.folder.join(&bundle.file).display(), &bundle.sha256[..16]),
        format!("outputs    {}", bundle.outputs.join(", ")),
    ];
    if let Model::Trees(trees) = &bundle.model {
        let base: Vec<String> =
            trees.parts.base.iter().map(|base| format!("{:.6}", base * trees.parts.scale)).collect();
        lines.push(format!("link       {} of the sum of leaves and {}", link_name(trees.parts.link), base.join(", ")));
        lines.push(format!("evaluated  in {}", trees.kernel()));
    }
    if let Some(facts) = &bundle.facts {
        let used = bundle.iterations.unwrap_or(facts.iterations);
        lines.push(match facts.iterations {
            0 => format!("trained    {}", facts.objective),
            all => format!("trained    {}, {used} of {all} iterations used", facts.objective),
        });
    }
    let oracle = &bundle.oracle;
    lines.push(format!(
        "oracle     {} rows, largest difference {:.1e}, allowed {:.1e}",
        oracle.rows, oracle.max_difference, oracle.tolerance
    ));
    if let Some(lineage) = described["lineage"].as_object() {
        for (key, value) in lineage {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            lines.push(output::within(&format!("lineage    {key} = {value}")));
        }
    }
    let gains = gains(&bundle);
    let mut features: Vec<(usize, &Feature)> = bundle.contract.features.iter().enumerate().collect();
    features.sort_by(|a, b| gains.get(b.0).unwrap_or(&0.0).total_cmp(gains.get(a.0).unwrap_or(&0.0)));
    let row = |(index, feature): &(usize, &Feature)| {
        let gain = gains.get(*index).map_or_else(|| "-".into(), |gain| format!("{:.1} %", gain * 100.0));
        vec![
            index.to_string(),
            feature.name.clone(),
            feature.type_name().into(),
            policy(feature.null),
            policy(feature.nan),
            gain,
        ]
    };
    let rows: Vec<Vec<String>> = features.iter().map(row).collect();
    lines.push(String::new());
    lines.push(output::table(&["position", "feature", "type", "null", "nan", "gain"], &rows));
    output::result(&lines.join("\n"))?;
    Ok(0)
}
