//! XGBoost models, as saved by the library in JSON or UBJSON. Numbers in learner_model_param are strings; base_score
//! stands after the link ("5E-1", or "[5E-1]" since 3.1); a split sends x < condition (f32) left and NaN where
//! default_left says; a node whose left child is -1 is a leaf and its condition the value.

use serde_json::Value;

use super::{LEAF, Node, Tree, Trees};
use crate::error::{Error, Result};
use crate::score::Link;

/// Reads either form and lowers it. The names of the features come back when the model has them.
pub fn read(bytes: &[u8]) -> Result<(Trees, Vec<String>)> {
    let document = match bytes.first() {
        Some(b'{') if matches!(bytes.get(1), Some(b'"' | b' ' | b'\n' | b'\r' | b'\t')) => {
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
    if number::<usize>(parameters, "num_target").is_ok_and(|targets| targets > 1) {
        return Err(refuse("several targets"));
    }
    let link = link(objective)?;
    let base = base_margins(text(get(parameters, "base_score")?)?, groups, link)?;
    let (model, weights) = match text(get(booster, "name")?)? {
        "gbtree" => (get(booster, "model")?, None),
        "dart" => {
            let tree = get(booster, "gbtree")?;
            let drop = booster.get("weight_drop").or_else(|| tree.get("model")?.get("weight_drop"));
            let weights = floats(drop.ok_or_else(|| missing("weight_drop"))?)?;
            (get(tree, "model")?, Some(weights))
        }
        other => return Err(refuse(&format!("the booster {other:?}"))),
    };
    let info = floats(get(model, "tree_info")?)?;
    let list = get(model, "trees")?.as_array().ok_or_else(|| missing("trees"))?;
    if info.len() != list.len() || weights.as_ref().is_some_and(|w| w.len() != list.len()) {
        return Err(Error::input("tree_info or weight_drop does not fit the number of trees"));
    }
    let mut trees = Vec::with_capacity(list.len());
    for (index, (value, group)) in list.iter().zip(&info).enumerate() {
        let weight = weights.as_ref().map_or(1.0, |w| w[index]);
        trees.push(tree(value, *group as u32, weight as f32).map_err(|e| e.context(format!("tree {index}")))?);
    }
    let names = learner
        .get("feature_names")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect());
    Ok((Trees::new(trees, base, width, link)?, names.unwrap_or_default()))
}

fn link(objective: &str) -> Result<Link> {
    Ok(match objective {
        "binary:logistic" | "reg:logistic" => Link::Sigmoid,
        "multi:softprob" => Link::Softmax,
        "count:poisson" | "reg:gamma" | "reg:tweedie" => Link::Exp,
        "binary:logitraw"
        | "reg:squarederror"
        | "reg:squaredlogerror"
        | "reg:pseudohubererror"
        | "reg:absoluteerror"
        | "reg:linear"
        | "rank:pairwise"
        | "rank:ndcg"
        | "rank:map" => Link::Identity,
        other => return Err(refuse(&format!("the objective {other:?}"))),
    })
}

/// base_score is an output; the trees are added to the margin it came from.
fn base_margins(text: &str, groups: usize, link: Link) -> Result<Vec<f32>> {
    let wrong = || Error::input(format!("base_score is {text:?}, which is no number and no list of {groups} numbers"));
    let parts = text.trim().trim_start_matches('[').trim_end_matches(']').split(',');
    let mut values = parts.map(|p| p.trim().parse::<f32>().map_err(|_| wrong())).collect::<Result<Vec<f32>>>()?;
    if values.len() == 1 {
        values = vec![values[0]; groups];
    }
    if values.len() != groups {
        return Err(wrong());
    }
    let margin = |value: f32| match link {
        Link::Sigmoid => -(1.0 / value - 1.0).ln(),
        Link::Exp => value.ln(),
        Link::Identity | Link::Softmax => value,
    };
    let margins: Vec<f32> = values.into_iter().map(margin).collect();
    if margins.iter().all(|m| m.is_finite()) { Ok(margins) } else { Err(wrong()) }
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
    if value.get("split_type").is_some_and(|kinds| floats(kinds).is_ok_and(|kinds| kinds.contains(&1.0))) {
        return Err(refuse("categorical splits"));
    }
    let vector = value.get("tree_param").and_then(|p| p.get("size_leaf_vector")).and_then(Value::as_str);
    if vector.is_some_and(|size| !matches!(size, "0" | "1")) {
        return Err(refuse("vector leaves"));
    }
    let child = |value: f64| if value < 0.0 { LEAF } else { value as u32 };
    let nodes = (0..n).map(|i| {
        let leaf = left[i] < 0.0;
        let value = condition[i] as f32;
        Node {
            feature: feature[i] as u32,
            value: if leaf { value * weight } else { value },
            left: if leaf { LEAF } else { child(left[i]) },
            right: child(right[i]),
            default_left: default_left[i] != 0.0,
        }
    });
    Ok(Tree { nodes: nodes.collect(), group })
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
