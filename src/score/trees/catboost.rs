//! CatBoost models, as save_model(format="json") writes them: oblivious trees, in which all nodes of one depth ask the same
//! question. Split `k` of a tree gives bit `k` of the number of the leaf, 1 when the value is greater than the border.

use serde_json::Value;

use super::{Leaves, Node, Parts, Split, Test, Tree, Trees};
use crate::error::{Error, Result};
use crate::score::imported::{ImportedModel, ModelMetadata};
use crate::score::{Link, Model};

/// CatBoost itself allows 16.
const MOST_SPLITS: usize = 16;

pub fn read(bytes: &[u8], iterations: Option<usize>) -> Result<ImportedModel> {
    let document: Value = serde_json::from_slice(bytes).map_err(|e| Error::input("not whole JSON").cause(e))?;
    let info = get(&document, "features_info")?;
    if info.get("categorical_features").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        return Err(refuse("categorical features"));
    }
    if ["text_features", "embedding_features"].iter().any(|key| info.get(key).is_some_and(|v| !is_empty(v))) {
        return Err(refuse("text or embedding features"));
    }
    let features = array(get(info, "float_features")?, "float_features")?;
    let mut missing_right = Vec::with_capacity(features.len());
    let mut names = Vec::with_capacity(features.len());
    for (index, feature) in features.iter().enumerate() {
        missing_right.push(match feature.get("nan_value_treatment").and_then(Value::as_str).unwrap_or("AsIs") {
            "AsTrue" => true,
            "AsIs" | "AsFalse" => false,
            other => return Err(refuse(&format!("nan_value_treatment {other:?}"))),
        });
        let name = feature.get("feature_id").and_then(Value::as_str).filter(|name| !name.is_empty());
        names.push(name.map_or_else(|| index.to_string(), str::to_owned));
    }
    if document.get("oblivious_trees").is_none() && document.get("trees").is_some() {
        return Err(refuse("trees that are not symmetric (grow_policy Depthwise or Lossguide)"));
    }
    let list = array(get(&document, "oblivious_trees")?, "oblivious_trees")?;
    let kept = iterations.unwrap_or(list.len());
    if kept > list.len() {
        return Err(Error::input(format!("the model has {} iterations, and {kept} of them are asked for", list.len())));
    }
    let (scale, bias) = scale_and_bias(&document)?;
    let groups = bias.len();
    let mut trees = Vec::with_capacity(kept);
    for (index, value) in list.iter().take(kept).enumerate() {
        trees.push(tree(value, groups, &missing_right).map_err(|e| e.context(format!("tree {index}")))?);
    }
    let objective = objective(&document);
    let link = link(&objective, groups)?;
    let mut facts = ModelMetadata { names, objective, iterations: list.len(), ..ModelMetadata::default() };
    facts.forget_made_up_names("");
    // The bias is added after the scale; the sums begin with it before.
    let base = bias.into_iter().map(|bias| bias / scale).collect();
    let parts = Parts { trees, base, width: features.len(), scale, link, double: true };
    Ok(ImportedModel { model: Model::Trees(Trees::new(parts)?), facts })
}

fn scale_and_bias(document: &Value) -> Result<(f64, Vec<f64>)> {
    let wrong = || Error::input("scale_and_bias is not [scale, [bias, ...]]");
    let pair = array(get(document, "scale_and_bias")?, "scale_and_bias")?;
    let [scale, bias] = pair.as_slice() else { return Err(wrong()) };
    let scale = scale.as_f64().filter(|scale| scale.is_finite() && *scale != 0.0).ok_or_else(wrong)?;
    let bias = match bias.as_f64() {
        Some(bias) => vec![bias],
        None => array(bias, "scale_and_bias")?.iter().map(Value::as_f64).collect::<Option<_>>().ok_or_else(wrong)?,
    };
    if bias.is_empty() { Err(wrong()) } else { Ok((scale, bias)) }
}

/// The name of the loss, from wherever the version wrote it.
fn objective(document: &Value) -> String {
    let info = document.get("model_info");
    let of = |path: &[&str]| path.iter().try_fold(info?, |value, key| value.get(key))?.as_str().map(str::to_owned);
    of(&["params", "loss_function", "type"]).or_else(|| of(&["loss_function", "type"])).unwrap_or_else(|| "RMSE".into())
}

fn link(objective: &str, groups: usize) -> Result<Link> {
    Ok(match objective {
        "Logloss" | "CrossEntropy" | "MultiCrossEntropy" | "MultiLogloss" => Link::Sigmoid,
        "MultiClass" if groups > 1 => Link::Softmax,
        "MultiClassOneVsAll" => Link::Sigmoid,
        "Poisson" | "Tweedie" => Link::Exp,
        "RMSE" | "MAE" | "Quantile" | "MAPE" | "Huber" | "Expectile" | "LogLinQuantile" | "MultiRMSE" | "YetiRank"
        | "PairLogit" | "QueryRMSE" => Link::Identity,
        other => return Err(refuse(&format!("the loss {other:?}"))),
    })
}

/// A full binary tree; the last split is the root's, so that the leaves stand in the order of their numbers.
fn tree(value: &Value, groups: usize, missing_right: &[bool]) -> Result<Tree> {
    let splits = match value.get("splits") {
        None | Some(Value::Null) => Vec::new(),
        Some(splits) => array(splits, "splits")?.clone(),
    };
    if splits.len() > MOST_SPLITS {
        return Err(Error::input(format!("it has {} splits; CatBoost allows {MOST_SPLITS}", splits.len())));
    }
    let leaves = 1usize << splits.len();
    let wrong = || Error::input(format!("leaf_values are not {leaves} times {groups} numbers"));
    let values = array(get(value, "leaf_values")?, "leaf_values")?;
    let values: Vec<f64> = values.iter().map(Value::as_f64).collect::<Option<_>>().ok_or_else(wrong)?;
    if values.len() != leaves * groups {
        return Err(wrong());
    }
    let mut nodes = Vec::with_capacity(2 * leaves - 1);
    for (depth, split) in splits.iter().rev().enumerate() {
        let kind = split.get("split_type").and_then(Value::as_str).unwrap_or("FloatFeature");
        if kind != "FloatFeature" {
            return Err(refuse(&format!("splits of the type {kind:?}")));
        }
        let feature =
            split.get("float_feature_index").and_then(Value::as_u64).ok_or_else(|| absent("float_feature_index"))?;
        let border = split.get("border").and_then(Value::as_f64).ok_or_else(|| absent("border"))?;
        let right = missing_right.get(feature as usize).copied().unwrap_or(false);
        for at in (1u32 << depth) - 1..(2u32 << depth) - 1 {
            nodes.push(Node::Split(Split {
                feature: u32::try_from(feature).unwrap_or(u32::MAX),
                test: Test::at_most(border),
                default_left: !right,
                left: 2 * at + 1,
                right: 2 * at + 2,
            }));
        }
    }
    nodes.extend((0..leaves as u32).map(Node::Leaf));
    let outputs = (0..groups).map(|group| Leaves {
        group: group as u32,
        values: values.iter().skip(group).step_by(groups).copied().collect(),
    });
    Ok(Tree { nodes, outputs: outputs.collect() })
}

fn get<'a>(value: &'a Value, key: &str) -> Result<&'a Value> {
    value.get(key).ok_or_else(|| absent(key))
}

fn array<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value.as_array().ok_or_else(|| Error::input(format!("{key} is not a list")))
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty)
}

fn absent(key: &str) -> Error {
    Error::input(format!("the model has no {key}"))
        .hint("is it a model saved by CatBoost's save_model(format=\"json\")?")
}

fn refuse(what: &str) -> Error {
    Error::input(format!("CatBoost models with {what} are not supported"))
}
