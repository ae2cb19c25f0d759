//! LightGBM models, as Booster.save_model writes them (text, version 4): a header of `key=value` lines, a block for each
//! tree, and the categories of the pandas columns it was trained on. A child below 0 is the leaf `!child`. A value that
//! is not greater than the threshold goes left, and one of the set of a categorical split too; what a missing value
//! means is written in each node. Leaves hold the shrinkage and the initial score; sums have 64 bits.

use std::collections::HashMap;

use super::{Leaves, Node, Parts, Split, Test, Tree, Trees};
use crate::error::{Error, Result};
use crate::score::imported::{ImportedModel, ModelMetadata};
use crate::score::{Link, Model};

/// Values this near to zero are missing where zeros are.
const ZERO: f32 = 1e-35;
/// More features than any table has.
const MOST_FEATURES: usize = 1 << 24;

type Fields<'a> = HashMap<&'a str, &'a str>;

/// `iterations` are the rounds to keep; all when nothing is said.
pub fn read(bytes: &[u8], iterations: Option<usize>) -> Result<ImportedModel> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::input("not text"))?;
    if !text.starts_with("tree\n") && !text.starts_with("tree\r\n") {
        return Err(Error::input("not LightGBM's text").hint("save it with Booster.save_model(\"model.txt\")"));
    }
    let (head, rest) = text.split_once("\nTree=").ok_or_else(|| Error::input("the model has no trees"))?;
    let (blocks, tail) = rest.split_once("end of trees").ok_or_else(|| {
        Error::input("the file ends before \"end of trees\"").hint("it was cut off; save the model again")
    })?;
    let header = fields(head);
    let width = number::<usize>(&header, "max_feature_idx")?.saturating_add(1);
    let names: Vec<String> = get(&header, "feature_names")?.split(' ').map(str::to_owned).collect();
    if names.len() != width || width > MOST_FEATURES {
        return Err(Error::input(format!("{} feature_names for {width} features", names.len())));
    }
    let groups = number::<usize>(&header, "num_tree_per_iteration")?;
    let objective = header.get("objective").copied().unwrap_or("regression");
    let (link, scale) = link(objective)?;
    let (mut trees, mut gains) = (Vec::new(), vec![0.0; width]);
    for (index, block) in blocks.split("Tree=").enumerate() {
        let group = u32::try_from(index % groups.max(1)).unwrap_or(u32::MAX);
        let block = fields(block);
        let tree = tree(&block, group).map_err(|e| e.context(format!("tree {index}")))?;
        let of_tree: Vec<f64> = optional(&block, "split_gain").unwrap_or_default();
        for (split, gain) in tree.nodes.iter().zip(of_tree).filter_map(|(node, gain)| Some((node.split()?, gain))) {
            if let Some(sum) = gains.get_mut(split.feature as usize) {
                *sum += gain;
            }
        }
        trees.push(tree);
    }
    if groups == 0 || trees.len() % groups != 0 {
        return Err(Error::input(format!("{} trees are no whole number of iterations of {groups}", trees.len())));
    }
    let rounds = trees.len() / groups;
    let kept = iterations.unwrap_or(rounds);
    if kept > rounds {
        return Err(Error::input(format!("the model has {rounds} iterations, and {kept} of them are asked for")));
    }
    trees.truncate(kept * groups);
    let average = head.lines().any(|line| line.trim() == "average_output");
    let scale = if average { scale / kept.max(1) as f64 } else { scale };
    let infos: Vec<&str> = header.get("feature_infos").map(|infos| infos.split(' ').collect()).unwrap_or_default();
    let mut facts = ModelMetadata {
        vocabularies: vocabularies(tail, &infos),
        categorical: infos.iter().map(|info| !info.starts_with('[') && *info != "none").collect(),
        ranges: infos.iter().map(|info| range(info)).collect(),
        names,
        unknown_words: false,
        doubtful_words: false,
        gains,
        objective: objective.to_owned(),
        iterations: rounds,
        best_iteration: None,
    };
    facts.forget_made_up_names("Column_");
    let parts = Parts { trees, base: vec![0.0; groups], width, scale, link, double: true };
    Ok(ImportedModel { model: Model::Trees(Trees::new(parts)?), facts })
}

/// The function from the raw score, and what the raw score is multiplied with before it.
fn link(objective: &str) -> Result<(Link, f64)> {
    let mut words = objective.split(' ');
    let name = words.next().unwrap_or_default();
    let options: HashMap<&str, &str> = words.clone().filter_map(|word| word.split_once(':')).collect();
    let sigmoid = || match options.get("sigmoid").map(|text| text.parse::<f64>()) {
        None => Ok(1.0),
        Some(Ok(value)) if value.is_finite() => Ok(value),
        Some(_) => Err(Error::input("the objective's sigmoid is not a number")),
    };
    Ok(match name {
        "binary" | "multiclassova" | "cross_entropy" | "xentropy" => (Link::Sigmoid, sigmoid()?),
        "multiclass" => (Link::Softmax, 1.0),
        "cross_entropy_lambda" | "xentlambda" => (Link::Softplus, 1.0),
        "poisson" | "gamma" | "tweedie" => (Link::Exp, 1.0),
        "regression" | "regression_l1" | "quantile" | "mape" if words.any(|word| word == "sqrt") => {
            (Link::SignedSquare, 1.0)
        }
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "lambdarank" | "rank_xendcg"
        | "custom" | "none" => (Link::Identity, 1.0),
        other => return Err(Error::input(format!("LightGBM models with the objective {other:?} are not supported"))),
    })
}

fn tree(block: &Fields<'_>, group: u32) -> Result<Tree> {
    if block.get("is_linear").is_some_and(|linear| linear.trim() == "1") {
        return Err(Error::input("LightGBM models with linear trees are not supported"));
    }
    let leaves = number::<usize>(block, "num_leaves")?;
    let values: Vec<f64> = list(block, "leaf_value")?;
    if values.len() != leaves || leaves == 0 {
        return Err(Error::input(format!("num_leaves is {leaves}, and there are {} leaf values", values.len())));
    }
    let splits = leaves - 1;
    let mut nodes = Vec::with_capacity(splits + leaves);
    if splits > 0 {
        let columns = Columns::read(block, splits)?;
        for i in 0..splits {
            nodes.push(Node::Split(columns.split(i, splits, leaves).map_err(|e| e.context(format!("node {i}")))?));
        }
    }
    nodes.extend((0..leaves as u32).map(Node::Leaf));
    Ok(Tree { nodes, outputs: vec![Leaves { group, values }] })
}

/// The columns of a tree's splits.
struct Columns {
    feature: Vec<u32>,
    threshold: Vec<f64>,
    decision: Vec<u8>,
    left: Vec<i64>,
    right: Vec<i64>,
    boundaries: Vec<usize>,
    words: Vec<u32>,
}

impl Columns {
    fn read(block: &Fields<'_>, splits: usize) -> Result<Columns> {
        let columns = Columns {
            feature: list(block, "split_feature")?,
            threshold: list(block, "threshold")?,
            decision: list(block, "decision_type")?,
            left: list(block, "left_child")?,
            right: list(block, "right_child")?,
            boundaries: optional(block, "cat_boundaries")?,
            words: optional(block, "cat_threshold")?,
        };
        // Each bit set belongs to one node, in the order of the nodes.
        let whole =
            columns.boundaries.is_sorted() && columns.boundaries.last().is_none_or(|end| *end <= columns.words.len());
        let asks = columns.decision.iter().filter(|decision| *decision & 1 != 0).count();
        if !whole || asks >= columns.boundaries.len().max(1) && asks > 0 {
            return Err(Error::input("cat_boundaries do not fit the categories of its nodes"));
        }
        let lengths = [
            columns.feature.len(),
            columns.threshold.len(),
            columns.decision.len(),
            columns.left.len(),
            columns.right.len(),
        ];
        match lengths.iter().all(|length| *length == splits) {
            true => Ok(columns),
            false => {
                Err(Error::input(format!("the columns of its nodes differ in length; {splits} are said to be there")))
            }
        }
    }

    /// Leaves stand behind the splits.
    fn split(&self, i: usize, splits: usize, leaves: usize) -> Result<Split> {
        let child = |value: i64| match value {
            0.. if (value as usize) < splits => Ok(value as u32),
            ..0 if (!value as usize) < leaves => Ok((splits + !value as usize) as u32),
            _ => Err(Error::input(format!("the child {value} is out of range"))),
        };
        let (left, right) = (child(self.left[i])?, child(self.right[i])?);
        let (decision, threshold) = (self.decision[i], self.threshold[i]);
        let default_left = decision & 2 != 0;
        if decision & 1 != 0 {
            let test = self.categories(threshold)?;
            return Ok(Split { feature: self.feature[i], test, default_left: false, left, right });
        }
        if threshold.is_nan() {
            return Err(Error::input("the threshold is NaN"));
        }
        let at_most = Test::at_most(threshold);
        let (test, default_left) = match (decision >> 2) & 3 {
            // A missing value is a zero.
            0 => (at_most, 0.0 <= threshold),
            // Zeros, and what is missing, go where it says.
            1 => (zero_aside(at_most, default_left)?, default_left),
            2 => (at_most, default_left),
            other => return Err(Error::input(format!("the kind {other} of missing values is not known"))),
        };
        Ok(Split { feature: self.feature[i], test, default_left, left, right })
    }

    /// The codes of a categorical split, bit by bit. Anything between -1 and 1 is cut to the code 0.
    fn categories(&self, number: f64) -> Result<Test> {
        let wrong = || Error::input("its categories are not there");
        let at = number as usize;
        let (start, end) = (self.boundaries.get(at).ok_or_else(wrong)?, self.boundaries.get(at + 1).ok_or_else(wrong)?);
        let words = self.words.get(*start..*end).ok_or_else(wrong)?;
        let codes = words.iter().zip(0usize..).flat_map(|(word, i)| {
            (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| (i * 32 + bit) as f32)
        });
        let ranges = codes.map(|code| (if code == 0.0 { (-1.0f32).next_up() } else { code }, code + 1.0)).collect();
        Test::within(ranges).ok_or_else(wrong)
    }
}

/// The values that pass when zeros pass or not, whatever the threshold says.
fn zero_aside(test: Test, zeros_pass: bool) -> Result<Test> {
    let Test::Below(below) = test else { return Ok(test) };
    let (first, behind) = (-ZERO, ZERO.next_up());
    let mut ranges = vec![(f32::NEG_INFINITY, below.min(first)), (behind, below)];
    if zeros_pass {
        ranges.push((first, behind));
    }
    // What needs no set keeps its threshold.
    match (first < below, behind <= below, zeros_pass) {
        (false, _, false) | (_, true, true) => Ok(Test::Below(below)),
        _ => Test::within(ranges).ok_or_else(|| Error::input("the threshold is NaN")),
    }
}

/// The lists of `pandas_categorical`, each for its column. They stand in the order of the columns, without saying which:
/// those of a split on categories have their codes as info (`-1:0:2:1`), constant columns `none`, ordered categories a
/// range of whole numbers (`[0:3]`). Only what can be meant in one way is believed.
fn vocabularies(tail: &str, infos: &[&str]) -> Vec<Option<Vec<String>>> {
    let mut found = vec![None; infos.len()];
    let line = tail.lines().find_map(|line| line.strip_prefix("pandas_categorical:"));
    let lists: Vec<Vec<serde_json::Value>> = line.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    // First without ordered categories, which are rare: a column of flags looks like one.
    for ordered in [false, true] {
        let fits = |at: usize, list: usize| could_be(infos[at], lists[list].len(), ordered);
        if let Some(places) = only_match(infos.len(), lists.len(), &fits, &|at| named(infos[at])) {
            for (at, words) in places.into_iter().zip(&lists) {
                found[at] = words.iter().map(word).collect();
            }
            break;
        }
    }
    found
}

/// The codes of a categorical feature stand in its info.
fn named(info: &str) -> bool {
    !info.starts_with('[') && info != "none"
}

/// Whether a column with this info can have so many categories.
fn could_be(info: &str, categories: usize, ordered: bool) -> bool {
    let inside = |code: f64| code.fract() == 0.0 && (-1.0..categories as f64).contains(&code);
    match range(info) {
        Some((low, high)) => ordered && inside(low) && inside(high),
        None if info == "none" => true,
        None => info.split(':').all(|code| code.parse().is_ok_and(inside)),
    }
}

/// The only way to give each list, in order, a column that it fits, so that every column that needs one has one.
fn only_match(
    columns: usize,
    lists: usize,
    fits: &dyn Fn(usize, usize) -> bool,
    needs: &dyn Fn(usize) -> bool,
) -> Option<Vec<usize>> {
    // ways[c][l]: in how many ways (two stand for more) the lists from `l` on fit the columns from `c` on.
    let mut ways = vec![vec![0u8; lists + 1]; columns + 1];
    ways[columns][lists] = 1;
    for at in (0..columns).rev() {
        for list in 0..=lists {
            let without = if needs(at) { 0 } else { ways[at + 1][list] };
            let with = if list < lists && fits(at, list) { ways[at + 1][list + 1] } else { 0 };
            ways[at][list] = (without + with).min(2);
        }
    }
    if ways[0][0] != 1 {
        return None;
    }
    let (mut places, mut list) = (Vec::with_capacity(lists), 0);
    for at in 0..columns {
        if list < lists && fits(at, list) && ways[at + 1][list + 1] == 1 {
            places.push(at);
            list += 1;
        }
    }
    Some(places)
}

/// A category as the text that it has in a table.
fn word(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(word) => Some(word.clone()),
        serde_json::Value::Bool(flag) => Some(flag.to_string()),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Some(whole.to_string()),
            (None, Some(float)) if float.fract() == 0.0 && float.abs() < 9e15 => Some(format!("{float:.0}")),
            _ => None,
        },
        _ => None,
    }
}

fn range(info: &str) -> Option<(f64, f64)> {
    let (low, high) = info.strip_prefix('[')?.strip_suffix(']')?.split_once(':')?;
    Some((low.parse().ok()?, high.parse().ok()?))
}

fn fields(text: &str) -> Fields<'_> {
    text.lines().filter_map(|line| line.trim_end().split_once('=')).collect()
}

fn get<'a>(fields: &Fields<'a>, key: &str) -> Result<&'a str> {
    fields.get(key).copied().ok_or_else(|| Error::input(format!("{key} is missing")))
}

fn number<T: std::str::FromStr>(fields: &Fields<'_>, key: &str) -> Result<T> {
    let text = get(fields, key)?;
    text.trim().parse().map_err(|_| Error::input(format!("{key} is {text:?}, which is no such number")))
}

fn list<T: std::str::FromStr>(fields: &Fields<'_>, key: &str) -> Result<Vec<T>> {
    let item =
        |text: &str| text.parse().map_err(|_| Error::input(format!("{key} holds {text:?}, which is no such number")));
    get(fields, key)?.split_ascii_whitespace().map(item).collect()
}

fn optional<T: std::str::FromStr>(fields: &Fields<'_>, key: &str) -> Result<Vec<T>> {
    if fields.contains_key(key) { list(fields, key) } else { Ok(Vec::new()) }
}
