//! Making a bundle from another library's model file: its contract, an oracle, and a record of where it came from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;

use super::bundle::Bundle;
use super::diagnose;
use crate::config::toml_string;
use crate::digest;
use crate::error::{Error, Result};
use crate::score::contract::{Contract, Encoding, Feature, Kind, Policy, Unknown};
use crate::score::foreign::{Format, bytes_of};
use crate::score::imported::{ImportedModel, ModelMetadata};
use crate::score::{Link, Model};

/// Rows of an oracle.
const ORACLE_ROWS: usize = 256;

/// How many boosting rounds are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iterations {
    /// Up to the best one when training stopped early, else all.
    Best,
    All,
    Exactly(usize),
}

/// What is asked for beside the model.
#[derive(Debug)]
pub struct Wishes {
    pub name: String,
    pub version: i64,
    pub iterations: Iterations,
    /// Rows that the model is asked about; drawn when there are none.
    pub inputs: Option<PathBuf>,
    /// Columns of the inputs with the library's own outputs.
    pub expected: Vec<String>,
    pub outputs: Vec<String>,
}

/// What was written, and what was decided on the way.
#[derive(Debug)]
pub struct Imported {
    pub bundle: Bundle,
    pub notes: Vec<String>,
}

/// Writes the bundle to `folder`, which must not exist; it appears whole or not at all.
pub fn import(file: &Path, folder: &Path, wishes: &Wishes) -> Result<Imported> {
    if folder.exists() {
        return Err(Error::usage(format!("{} exists already", folder.display()))
            .hint("a version never changes; choose the next number"));
    }
    let bytes = bytes_of(file)?;
    let in_file = |e: Error| e.context(file.display());
    let format = Format::guess(&bytes).map_err(in_file)?;
    let mut notes = Vec::new();
    let all = format.read(&bytes, None).map_err(in_file)?;
    let iterations = iterations(&all.facts, wishes.iterations, &mut notes);
    let ImportedModel { model, facts } = match iterations {
        None => all,
        kept => format.read(&bytes, kept).map_err(in_file)?,
    };
    let sample = wishes.inputs.as_deref().map(sample).transpose()?;
    let contract = contract(&model, &facts, sample.as_ref(), &wishes.expected, &mut notes)?;
    let outputs = output_names(&model, &wishes.outputs)?;
    let batch = match &sample {
        Some(sample) => sample.clone(),
        None => draw(&model, &facts, &contract, u64::from_str_radix(&digest::hex(&bytes)[..15], 16).unwrap_or(1))?,
    };
    let (kept, features, _) = contract.apply(&batch)?;
    if kept.num_rows() == 0 {
        return Err(Error::data("no row of the inputs is left after the contract's policies"));
    }
    let found = model.score(&features).map_err(|e| Error::defect("Candle failed to score").cause(e))?;
    let expected = match wishes.expected.is_empty() {
        true => found.iter().map(|values| values.iter().map(|v| f64::from(*v)).collect()).collect(),
        false => {
            let expected = diagnose::expected(&kept, &wishes.expected, outputs.len())?;
            diagnose::Question { bytes: &bytes, format, iterations, facts: &facts, model: &model, contract: &contract }
                .compare(&kept, &found, &expected)?;
            expected
        }
    };
    // All rows are compared; the oracle keeps some of them.
    let rows = kept.num_rows().min(ORACLE_ROWS);
    let answers: Vec<Vec<f64>> = expected.iter().map(|values| values[..rows].to_vec()).collect();
    let oracle = oracle(&kept.slice(0, rows), &contract, &outputs, &answers)?;
    let origin = match (&wishes.inputs, wishes.expected.is_empty()) {
        (None, _) => "inputs drawn around the model's thresholds, outputs by daymill: the library was not asked".into(),
        (Some(path), true) => format!("inputs from {}, outputs by daymill: the library was not asked", path.display()),
        (Some(path), false) => format!("inputs and the library's own outputs from {}", path.display()),
    };
    let name = format.file_name(&bytes);
    let head = Head { wishes, format, iterations, file: name, origin: &origin, source: file, facts: &facts };
    // What was compared with the library was allowed its distance; what we gave ourselves, rounding.
    let tolerance = if wishes.expected.is_empty() { 2e-6 } else { 2.0 * diagnose::NEAR };
    let text = head.text(&bytes, &oracle, tolerance, &outputs, &contract.features);
    let bundle = write(folder, &[(name, &bytes), ("oracle.parquet", &oracle), ("model.toml", text.as_bytes())])?;
    Ok(Imported { bundle, notes })
}

fn iterations(facts: &ModelMetadata, wish: Iterations, notes: &mut Vec<String>) -> Option<usize> {
    let best = facts.best_iteration.map(|best| best + 1).filter(|best| *best < facts.iterations);
    match (wish, best) {
        (Iterations::Exactly(n), _) => Some(n),
        (Iterations::Best, Some(best)) => {
            notes.push(format!(
                "training stopped early: {best} of {} iterations are used, as the library's scikit-learn classes do \
                 (Booster.predict uses all: --iterations all)",
                facts.iterations
            ));
            Some(best)
        }
        (Iterations::All, Some(best)) => {
            notes.push(format!("all {} iterations are used; the best was {best}", facts.iterations));
            None
        }
        _ => None,
    }
}

/// The rows of a Parquet file.
pub fn sample(path: &Path) -> Result<RecordBatch> {
    crate::plain_file::regular(path)?;
    let file = std::fs::File::open(path).map_err(|e| Error::unreadable(path, &e))?;
    crate::parquet_file::all(path, file)
}

/// The features by name and kind. A model without names takes those of the sample's columns, in their order.
fn contract(
    model: &Model,
    facts: &ModelMetadata,
    sample: Option<&RecordBatch>,
    expected: &[String],
    notes: &mut Vec<String>,
) -> Result<Contract> {
    let width = model.width();
    let columns: Vec<String> = sample.map_or_else(Vec::new, |sample| {
        let names = sample.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        names.into_iter().filter(|name| !expected.contains(name)).collect()
    });
    let names = match (facts.names.len() == width, columns.len() == width) {
        (true, _) => facts.names.clone(),
        (false, true) => {
            notes.push(
                "the model file has no feature names: they are those of the inputs' columns, in their order".into(),
            );
            columns
        }
        (false, false) if sample.is_some() => {
            return Err(Error::input(format!(
                "the model takes {width} features and names none, and the inputs have {} columns beside the expected ones",
                columns.len()
            )));
        }
        _ => {
            notes.push("the model file has no feature names: they are f0, f1, ...; rename them in model.toml".into());
            (0..width).map(|i| format!("f{i}")).collect()
        }
    };
    let mut features = Vec::with_capacity(width);
    for (index, name) in names.into_iter().enumerate() {
        let column = sample.and_then(|sample| sample.column_by_name(&name));
        let words = facts.vocabularies.get(index).cloned().flatten();
        let kind = match words {
            Some(ref words) if facts.doubtful_words && words.iter().any(|word| !word.is_ascii()) => {
                require_sound_words(&name, words, column)?;
                category(facts, model, words.clone())
            }
            Some(words) if words.iter().collect::<std::collections::HashSet<_>>().len() != words.len() => {
                return Err(Error::input(format!("a word stands twice among the categories of {name:?}")));
            }
            Some(words) if words.is_empty() => {
                return Err(Error::input(format!("the categorical feature {name:?} has no categories")));
            }
            Some(words) => category(facts, model, words),
            None => {
                if facts.categorical.get(index) == Some(&true) {
                    notes.push(format!(
                        "the feature {name:?} is categorical, and the file has no words for its codes: the column must hold \
                         the very codes of training"
                    ));
                }
                Kind::Number
            }
        };
        // To the libraries NULL and NaN are one thing: missing.
        let missing = if model.takes_missing_at(index) { Policy::Pass } else { Policy::Error };
        features.push(Feature { name, kind, null: missing, nan: missing, infinity: Policy::Error });
    }
    Ok(Contract { features })
}

/// Words of a file that may have cut them are believed when the inputs have these words and no others.
fn require_sound_words(name: &str, words: &[String], column: Option<&ArrayRef>) -> Result<()> {
    let beyond = words.iter().filter(|word| !word.is_ascii()).map(String::as_str).collect::<Vec<_>>();
    if beyond.is_empty() {
        return Ok(());
    }
    let text = column.and_then(|column| cast(column, &DataType::Utf8View).ok());
    let mut seen = text.iter().flat_map(|text| text.as_string_view().iter().flatten()).peekable();
    let other =
        if seen.peek().is_none() { None } else { Some(seen.find(|word| !words.iter().any(|known| known == word))) };
    let what = match other {
        Some(None) => return Ok(()),
        Some(Some(other)) => format!("the inputs have {other:?}"),
        None => "there are no inputs to compare them with".into(),
    };
    Err(Error::input(format!("the words of the feature {name:?} may be cut: {}", beyond.join(", ")))
        .cause(format!("XGBoost up to 3.2 saves words beyond ASCII wrongly, and {what}"))
        .hint(
            "give --inputs with the words of training if these are right; else train on codes or on ASCII words, and \
             save the model again",
        ))
}

fn category(facts: &ModelMetadata, model: &Model, words: Vec<String>) -> Kind {
    let unknown = if facts.unknown_words && model.takes_missing() { Unknown::Missing } else { Unknown::Error };
    Kind::Category { codes: words.into_iter().zip(0..).collect(), encoding: Encoding::Code, unknown }
}

fn output_names(model: &Model, wished: &[String]) -> Result<Vec<String>> {
    let outputs = model.outputs();
    match (wished.len(), outputs) {
        (0, 1) => Ok(vec!["score".into()]),
        (0, _) => Ok((0..outputs).map(|i| format!("score_{i}")).collect()),
        (n, _) if n == outputs => Ok(wished.to_vec()),
        (n, _) => Err(Error::usage(format!("the model gives {outputs} outputs, and {n} are named"))),
    }
}

/// Rows whose values lie on the model's thresholds and beside them, some of them missing.
fn draw(model: &Model, facts: &ModelMetadata, contract: &Contract, seed: u64) -> Result<RecordBatch> {
    let mut state = seed | 1;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % n.max(1)
    };
    let cuts = cuts(model);
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (index, feature) in contract.features.iter().enumerate() {
        let missing = feature.null == Policy::Pass;
        if let Kind::Category { codes, .. } = &feature.kind {
            let mut words: Vec<&String> = codes.keys().collect();
            words.sort_by_key(|word| codes[*word]);
            let picked =
                (0..ORACLE_ROWS).map(|_| (!missing || below(20) > 0).then(|| words[below(words.len())].as_str()));
            columns.push(Arc::new(picked.collect::<StringArray>()));
            fields.push(Field::new(&feature.name, DataType::Utf8, true));
            continue;
        }
        let cuts: Vec<f32> = cuts[index].iter().copied().filter(|cut| cut.is_finite()).collect();
        let codes_only = facts.categorical.get(index) == Some(&true);
        let range = facts.ranges.get(index).copied().flatten().unwrap_or((-2.0, 2.0));
        let picked = (0..ORACLE_ROWS).map(|_| {
            if missing && below(20) == 0 {
                return None;
            }
            let value = match cuts.as_slice() {
                [] => (range.0 + (range.1 - range.0) * below(1 << 20) as f64 / f64::from(1 << 20)) as f32,
                cuts => {
                    let (a, b) = (cuts[below(cuts.len())], cuts[below(cuts.len())]);
                    [a, a.next_down(), a.next_up(), a / 2.0 + b / 2.0][below(4)]
                }
            };
            Some(if codes_only { value.floor().max(0.0) } else { value }).filter(|value| value.is_finite())
        });
        let picked: Vec<Option<f32>> = picked.collect();
        let fill = if missing { None } else { Some(0.0) };
        columns.push(Arc::new(picked.into_iter().map(|value| value.or(fill)).collect::<Float32Array>()));
        fields.push(Field::new(&feature.name, DataType::Float32, true));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|e| Error::input("two features of the model have one name").cause(e))
}

/// The values at which some tree decides otherwise, by feature.
fn cuts(model: &Model) -> Vec<Vec<f32>> {
    let mut cuts = vec![Vec::new(); model.width()];
    let add = |(feature, value): (usize, f32)| cuts[feature].push(value);
    match model {
        Model::Dense(_) => {}
        Model::Trees(trees) => trees.cuts().for_each(add),
        Model::Graph(graph) => graph.cuts().for_each(add),
    }
    cuts
}

/// The features' columns and the outputs, as Parquet.
fn oracle(batch: &RecordBatch, contract: &Contract, outputs: &[String], expected: &[Vec<f64>]) -> Result<Vec<u8>> {
    let defect = |e: &dyn std::fmt::Display| Error::defect("the oracle cannot be written").cause(e);
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for feature in &contract.features {
        let column = batch.column_by_name(&feature.name);
        let column = column.ok_or_else(|| Error::input(format!("the inputs have no column {:?}", feature.name)))?;
        columns.push((feature.name.clone(), column.clone()));
    }
    for (name, values) in outputs.iter().zip(expected) {
        columns.push((name.clone(), Arc::new(arrow::array::Float64Array::from(values.clone()))));
    }
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true)))
        .map_err(|e| {
            Error::input("a feature and an output have one name").cause(e).hint("name the outputs with --output")
        })?;
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).map_err(|e| defect(&e))?;
    writer.write(&batch).map_err(|e| defect(&e))?;
    writer.close().map_err(|e| defect(&e))?;
    Ok(bytes)
}

/// What stands in model.toml beside the features.
struct Head<'a> {
    wishes: &'a Wishes,
    format: Format,
    iterations: Option<usize>,
    file: &'a str,
    origin: &'a str,
    source: &'a Path,
    facts: &'a ModelMetadata,
}

impl Head<'_> {
    fn text(&self, bytes: &[u8], oracle: &[u8], tolerance: f64, outputs: &[String], features: &[Feature]) -> String {
        let mut text = format!(
            "name = {}\nversion = {}\nkind = {}\nfile = {}\nsha256 = {}\n",
            toml_string(&self.wishes.name),
            self.wishes.version,
            toml_string(self.format.kind()),
            toml_string(self.file),
            toml_string(&digest::hex(bytes))
        );
        if let Some(iterations) = self.iterations {
            text += &format!("iterations = {iterations}\n");
        }
        text += &format!(
            "\n[oracle]\nfile = \"oracle.parquet\"\nsha256 = {}\ntolerance = {tolerance:e}\n",
            toml_string(&digest::hex(oracle))
        );
        for output in outputs {
            text += &format!("\n[[output]]\nname = {}\n", toml_string(output));
        }
        for feature in features {
            text += &format!(
                "\n[[feature]]\nname = {}\ntype = {}\n",
                toml_string(&feature.name),
                toml_string(feature.type_name())
            );
            if let Kind::Category { codes, .. } = &feature.kind {
                let mut words: Vec<&String> = codes.keys().collect();
                words.sort_by_key(|word| codes[*word]);
                let words: Vec<String> = words.into_iter().map(|word| toml_string(word)).collect();
                if matches!(feature.kind, Kind::Category { unknown: Unknown::Missing, .. }) {
                    text += "unknown = \"missing\"\n";
                }
                text += &format!("encoding = \"code\"\nvocabulary = [{}]\n", words.join(", "));
            }
            for (key, policy) in [("null", feature.null), ("nan", feature.nan)] {
                if policy == Policy::Pass {
                    text += &format!("{key} = \"pass\"\n");
                }
            }
        }
        text += &format!(
            "\n[lineage]\nimported_from = {}\nimported_by = \"daymill {}\"\nobjective = {}\niterations_trained = {}\noracle = {}\n",
            toml_string(&self.source.display().to_string()),
            env!("CARGO_PKG_VERSION"),
            toml_string(&self.facts.objective),
            self.facts.iterations,
            toml_string(self.origin)
        );
        text
    }
}

/// The files in a new folder, opened as a run opens it before it gets its name.
fn write(folder: &Path, files: &[(&str, &[u8])]) -> Result<Bundle> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, "create", &e))?;
    let room = tempfile::Builder::new()
        .prefix(".import-")
        .tempdir_in(parent)
        .map_err(|e| Error::io(parent, "write to", &e))?;
    let made = room.path().join("bundle");
    std::fs::create_dir(&made).map_err(|e| Error::io(&made, "create", &e))?;
    for (name, bytes) in files {
        std::fs::write(made.join(name), bytes).map_err(|e| Error::io(&made.join(name), "write", &e))?;
    }
    Bundle::open(&made)?;
    std::fs::rename(&made, folder).map_err(|e| Error::io(folder, "create", &e))?;
    Bundle::open(folder)
}

/// What the function after the sums is called.
pub fn link_name(link: Link) -> &'static str {
    match link {
        Link::Identity => "identity",
        Link::Sigmoid => "sigmoid",
        Link::Softmax => "softmax",
        Link::Exp => "exp",
        Link::Step => "step",
        Link::ArgMax => "argmax",
        Link::Softplus => "softplus",
        Link::SignedSquare => "signed square",
    }
}
