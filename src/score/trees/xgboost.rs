//! XGBoost models, as saved by the library in JSON or UBJSON. Numbers in learner_model_param are strings; base_score
//! stands after the link ("5E-1", or "[5E-1]" since 3.1); a split sends x < condition (f32) left and NaN where
//! default_left says; a node whose left child is -1 is a leaf and its condition the value. A split on categories sends
//! those of its set right.

use serde_json::Value;

use super::{Leaves, Node, Parts, Split, Test, Tree, Trees};
use crate::error::{Error, Result};
use crate::score::imported::{ImportedModel, ModelMetadata};
use crate::score::{Link, Model, dense::Dense};

/// Category codes from here on are invalid to XGBoost, which sends them left.
const MOST_CATEGORIES: f64 = 16_777_216.0;
/// No table is as wide, and no target has as many classes.
const MOST_FEATURES: usize = 1 << 16;
const MOST_OUTPUTS: usize = 1 << 12;

/// Values of a JSON document, each of which takes some hundred bytes of memory.
const MOST_VALUES: usize = 1 << 25;

/// Reads either form and lowers it. `iterations` are the rounds to keep; all when nothing is said.
pub fn read(bytes: &[u8], iterations: Option<usize>) -> Result<ImportedModel> {
    let document = match bytes.first() {
        Some(b'{') if matches!(bytes.get(1), Some(b'"' | b' ' | b'\n' | b'\r' | b'\t')) => {
            let values = bytes.iter().filter(|b| **b == b',').count();
            if values > MOST_VALUES {
                return Err(Error::input(format!("the JSON holds {values} values; at most {MOST_VALUES} are read"))
                    .hint("save it with save_model(\"model.ubj\"), which is smaller and read as it stands"));
            }
            serde_json::from_slice(bytes).map_err(|e| Error::input("not whole JSON").cause(e))?
        }
        Some(b'{') => super::ubjson::parse(bytes).map_err(|e| Error::input("not whole UBJSON").cause(e))?,
        _ => {
            return Err(Error::input("neither XGBoost's JSON nor its UBJSON")
                .hint("save it with Booster.save_model(\"model.ubj\")"));
        }
    };
    let learner = get(&document, "learner")?;
    let parameters = get(learner, "learner_model_param")?;
    let objective = text(get(get(learner, "objective")?, "name")?)?;
    let booster = get(learner, "gradient_booster")?;
    let width: usize = number(parameters, "num_feature")?;
    let groups = number::<usize>(parameters, "num_class").unwrap_or(0).max(1);
    if width > MOST_FEATURES || groups > MOST_OUTPUTS {
        return Err(Error::input(format!("the model claims {width} features and {groups} classes")));
    }
    if number::<usize>(parameters, "num_target").is_ok_and(|targets| targets > 1) {
        return Err(refuse("several targets"));
    }
    let (link, before) = links(objective)?;
    let base = base_margins(text(get(parameters, "base_score")?)?, groups, before)?;
    let names = |key: &str| {
        let list = learner.get(key).and_then(Value::as_array);
        list.map(|names| names.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect::<Vec<_>>())
    };
    let mut facts = ModelMetadata {
        names: names("feature_names").unwrap_or_default(),
        categorical: names("feature_types").unwrap_or_default().iter().map(|kind| kind == "c").collect(),
        objective: objective.to_owned(),
        best_iteration: learner
            .get("attributes")
            .and_then(|a| a.get("best_iteration"))
            .and_then(Value::as_str)
            .and_then(|text| text.parse().ok()),
        ..ModelMetadata::default()
    };
    let (model, weights) = match text(get(booster, "name")?)? {
        "gbtree" => (get(booster, "model")?, None),
        "dart" => {
            let tree = get(booster, "gbtree")?;
            let drop = booster.get("weight_drop").or_else(|| tree.get("model")?.get("weight_drop"));
            let weights = floats(drop.ok_or_else(|| missing("weight_drop"))?)?;
            (get(tree, "model")?, Some(weights))
        }
        "gblinear" => return Ok(ImportedModel { model: linear(booster, width, &base, link)?, facts }),
        other => return Err(refuse(&format!("the booster {other:?}"))),
    };
    facts.vocabularies = vocabularies(model, width);
    // Up to 3.2 the library cuts words by their characters, and not by the bytes that it counts in.
    let version: Vec<u64> =
        document.get("version").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_u64).collect();
    facts.doubtful_words = version.as_slice() < [3, 3].as_slice();
    facts.gains = vec![0.0; width];
    let trees = trees(model, weights, groups, iterations, &mut facts)?;
    let parts = Parts { trees, base, width, scale: 1.0, link, double: false };
    Ok(ImportedModel { model: Model::Trees(Trees::new(parts)?), facts })
}

/// The trees of the iterations that are kept.
fn trees(
    model: &Value,
    weights: Option<Vec<f64>>,
    groups: usize,
    iterations: Option<usize>,
    facts: &mut ModelMetadata,
) -> Result<Vec<Tree>> {
    let info = floats(get(model, "tree_info")?)?;
    let list = get(model, "trees")?.as_array().ok_or_else(|| missing("trees"))?;
    if info.len() != list.len() || weights.as_ref().is_some_and(|w| w.len() != list.len()) {
        return Err(Error::input("tree_info or weight_drop does not fit the number of trees"));
    }
    let rounds = rounds(model, list.len(), groups)?;
    facts.iterations = rounds.len() - 1;
    let kept = iterations.unwrap_or(facts.iterations);
    let kept = *rounds.get(kept).ok_or_else(|| {
        Error::input(format!("the model has {} iterations, and {kept} of them are asked for", facts.iterations))
    })?;
    let mut trees = Vec::with_capacity(kept);
    for (index, (value, group)) in list.iter().zip(&info).take(kept).enumerate() {
        let weight = weights.as_ref().map_or(1.0, |w| w[index]);
        let tree = tree(value, *group as u32, weight as f32).map_err(|e| e.context(format!("tree {index}")))?;
        let gains = value.get("loss_changes").and_then(|list| floats(list).ok()).unwrap_or_default();
        for (split, gain) in tree.nodes.iter().zip(gains).filter_map(|(node, gain)| Some((node.split()?, gain))) {
            if let Some(sum) = facts.gains.get_mut(split.feature as usize) {
                *sum += gain;
            }
        }
        trees.push(tree);
    }
    Ok(trees)
}

/// What base_score went through before it became a margin.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Identity,
    Sigmoid,
    Exp,
}

fn links(objective: &str) -> Result<(Link, Before)> {
    Ok(match objective {
        "binary:logistic" | "reg:logistic" => (Link::Sigmoid, Before::Sigmoid),
        "binary:logitraw" => (Link::Identity, Before::Identity),
        "binary:hinge" => (Link::Step, Before::Identity),
        "multi:softprob" => (Link::Softmax, Before::Identity),
        "multi:softmax" => (Link::ArgMax, Before::Identity),
        "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => (Link::Exp, Before::Exp),
        "reg:squarederror"
        | "reg:squaredlogerror"
        | "reg:pseudohubererror"
        | "reg:absoluteerror"
        | "reg:quantileerror"
        | "reg:linear"
        | "rank:pairwise"
        | "rank:ndcg"
        | "rank:map" => (Link::Identity, Before::Identity),
        other => return Err(refuse(&format!("the objective {other:?}"))),
    })
}

/// base_score is an output; the trees are added to the margin it came from.
fn base_margins(text: &str, groups: usize, before: Before) -> Result<Vec<f64>> {
    let wrong = || Error::input(format!("base_score is {text:?}, which is no number and no list of {groups} numbers"));
    let parts = text.trim().trim_start_matches('[').trim_end_matches(']').split(',');
    let mut values = parts.map(|p| p.trim().parse::<f32>().map_err(|_| wrong())).collect::<Result<Vec<f32>>>()?;
    if values.len() == 1 {
        values = vec![values[0]; groups];
    }
    if values.len() != groups {
        return Err(wrong());
    }
    let margin = |value: f32| match before {
        Before::Sigmoid => -(1.0 / value - 1.0).ln(),
        Before::Exp => value.ln(),
        Before::Identity => value,
    };
    let margins: Vec<f64> = values.into_iter().map(|value| margin(value).into()).collect();
    if margins.iter().all(|m| m.is_finite()) { Ok(margins) } else { Err(wrong()) }
}

/// How many trees the first 0, 1, 2, ... iterations have.
fn rounds(model: &Value, trees: usize, groups: usize) -> Result<Vec<usize>> {
    if let Some(list) = model.get("iteration_indptr") {
        let ends: Vec<usize> = floats(list)?.into_iter().map(|end| end as usize).collect();
        let whole = ends.first() == Some(&0) && ends.last() == Some(&trees) && ends.is_sorted();
        return if whole { Ok(ends) } else { Err(Error::input("iteration_indptr does not fit the number of trees")) };
    }
    let parameters = get(model, "gbtree_model_param")?;
    let step = number::<usize>(parameters, "num_parallel_tree").unwrap_or(1).max(1).saturating_mul(groups);
    if !trees.is_multiple_of(step) {
        return Err(Error::input(format!("{trees} trees are no whole number of iterations of {step}")));
    }
    Ok((0..=trees).step_by(step).collect())
}

/// The words of each categorical feature, when the model was trained on a table that had them.
fn vocabularies(model: &Value, width: usize) -> Vec<Option<Vec<String>>> {
    let mut found = vec![None; width];
    let encodings = model.get("cats").and_then(|cats| cats.get("enc")).and_then(Value::as_array);
    for (slot, encoding) in found.iter_mut().zip(encodings.into_iter().flatten()) {
        let list = |key: &str| encoding.get(key).and_then(|v| floats(v).ok());
        let (offsets, Some(values)) = (list("offsets"), list("values")) else { continue };
        // Numbers have no offsets.
        let Some(offsets) = offsets else {
            let whole = |value: &f64| (value.fract() == 0.0 && value.abs() < 9e15).then(|| format!("{value:.0}"));
            *slot = values.iter().map(whole).collect::<Option<Vec<String>>>().filter(|words| !words.is_empty());
            continue;
        };
        let bytes: Vec<u8> = values.iter().map(|value| *value as i64 as u8).collect();
        let word = |pair: &[f64]| {
            let word = bytes.get(pair[0] as usize..pair[1] as usize)?;
            // A word that is cut within a letter is none; who imports the model is asked about it.
            Some(String::from_utf8_lossy(word).into_owned())
        };
        *slot = offsets.windows(2).map(word).collect::<Option<Vec<String>>>().filter(|words| !words.is_empty());
    }
    found
}

/// Weights feature by feature, the biases last. A missing value adds nothing. To every output XGBoost (3.2) adds the first
/// base margin, whatever the others are.
fn linear(booster: &Value, width: usize, base: &[f64], link: Link) -> Result<Model> {
    let weights = floats(get(get(booster, "model")?, "weights")?)?;
    let groups = base.len();
    if weights.len() != (width + 1) * groups {
        return Err(Error::input(format!(
            "{} weights do not fit {width} features and {groups} outputs",
            weights.len()
        )));
    }
    let weight = |group: usize, feature: usize| weights[feature * groups + group] as f32;
    let rows = (0..groups).flat_map(|group| (0..width).map(move |feature| weight(group, feature)));
    let bias = (0..groups).map(|group| weight(group, width) + base[0] as f32);
    Ok(Model::Dense(Dense::linear(rows.collect(), bias.collect(), width, link, true)?))
}

fn tree(value: &Value, group: u32, weight: f32) -> Result<Tree> {
    let column = |key: &str| floats(get(value, key)?);
    let (left, right) = (column("left_children")?, column("right_children")?);
    let (feature, condition) = (column("split_indices")?, column("split_conditions")?);
    let default_left = column("default_left")?;
    let n = left.len();
    if [right.len(), feature.len(), condition.len(), default_left.len()].iter().any(|length| *length != n) {
        return Err(Error::input("the columns of its nodes differ in length"));
    }
    let kinds = value.get("split_type").map(floats).transpose()?.unwrap_or_default();
    let sets = if kinds.contains(&1.0) { categories(value, n)? } else { Vec::new() };
    let vector = value.get("tree_param").and_then(|p| p.get("size_leaf_vector")).and_then(Value::as_str);
    if vector.is_some_and(|size| !matches!(size, "0" | "1")) {
        return Err(refuse("vector leaves"));
    }
    // Out of range becomes a child that is not there, which the check names.
    let child = |value: f64| if value < 0.0 { u32::MAX } else { value as u32 };
    let mut nodes = Vec::with_capacity(n);
    for i in 0..n {
        if left[i] < 0.0 {
            nodes.push(Node::Leaf(i as u32));
            continue;
        }
        let categorical = kinds.get(i) == Some(&1.0);
        let mut split = Split {
            feature: feature[i] as u32,
            test: Test::Below(condition[i] as f32),
            default_left: default_left[i] != 0.0,
            left: child(left[i]),
            right: child(right[i]),
        };
        if categorical {
            // Those of the set go right: turned around, they pass.
            let test = sets.get(i).cloned().flatten();
            split.test = test.ok_or_else(|| Error::input(format!("node {i} has no categories")))?;
            (split.left, split.right) = (split.right, split.left);
            split.default_left = !split.default_left;
        }
        nodes.push(Node::Split(split));
    }
    let values = condition.iter().map(|value| f64::from(*value as f32 * weight)).collect();
    Ok(Tree { nodes, outputs: vec![Leaves { group, values }] })
}

/// The set of each node that splits on categories.
fn categories(tree: &Value, nodes: usize) -> Result<Vec<Option<Test>>> {
    let column = |key: &str| floats(get(tree, key)?);
    let all = column("categories")?;
    let (owners, starts, sizes) =
        (column("categories_nodes")?, column("categories_segments")?, column("categories_sizes")?);
    // Each code belongs to one node.
    if sizes.iter().sum::<f64>() > all.len() as f64 {
        return Err(Error::input(format!("categories_sizes ask for more than the {} categories", all.len())));
    }
    let mut sets = vec![None; nodes];
    for ((owner, start), size) in owners.iter().zip(&starts).zip(&sizes) {
        let wrong = || Error::input(format!("the categories of node {owner} are not there"));
        let end = (*start as usize).checked_add(*size as usize).ok_or_else(wrong)?;
        let codes = all.get(*start as usize..end).ok_or_else(wrong)?;
        if codes.iter().any(|code| !(0.0..MOST_CATEGORIES).contains(code)) {
            return Err(Error::input(format!("node {owner} has a category that is no code")));
        }
        let ranges = codes.iter().map(|code| (*code as f32, *code as f32 + 1.0)).collect();
        *sets.get_mut(*owner as usize).ok_or_else(wrong)? = Test::within(ranges);
    }
    Ok(sets)
}

fn get<'a>(value: &'a Value, key: &str) -> Result<&'a Value> {
    value.get(key).ok_or_else(|| missing(key))
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| Error::input("a text of the model is not a text"))
}

fn number<T: std::str::FromStr>(value: &Value, key: &str) -> Result<T> {
    text(get(value, key)?)?.parse().map_err(|_| Error::input(format!("{key} is not a number")))
}

/// Numbers, or booleans as 0 and 1. What is neither (JSON's null for NaN) becomes NaN, which no tree may hold.
fn floats(value: &Value) -> Result<Vec<f64>> {
    let items = value.as_array().ok_or_else(|| Error::input("a list of the model is not a list"))?;
    let float =
        |item: &Value| item.as_f64().or_else(|| item.as_bool().map(|b| f64::from(u8::from(b)))).unwrap_or(f64::NAN);
    Ok(items.iter().map(float).collect())
}

fn missing(key: &str) -> Error {
    Error::input(format!("the model has no {key}")).hint("is it a model saved by XGBoost's save_model?")
}

fn refuse(what: &str) -> Error {
    Error::input(format!("XGBoost models with {what} are not supported"))
}
