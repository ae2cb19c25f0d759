//! The tree ensembles of ONNX, in their old form (a list for each property of a node) and in that of ai.onnx.ml 5.

use std::collections::HashMap;

use candle_core::{DType, Tensor};

use super::node::{MOST_FEATURES, attribute, constant, text};
use super::proto::{Node as ProtoNode, Tensor as ProtoTensor};
use crate::error::{Error, Result};
use crate::score::trees::{Leaves, Node, Parts, Split, Test, Tree, Trees};
use crate::score::{Link, apply_link};

/// Values of leaves that are kept: a gigabyte.
const MOST_VALUES: usize = 1 << 27;

/// What follows the sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum After {
    Link(Link),
    /// One sum that stands for two classes: `[1 - s, s]`.
    Complement,
    /// One sum that stands for two classes: the sigmoids of `-s` and of `s`.
    TwoSigmoids,
    /// One sum that stands for two classes: `[-s, s]`.
    TwoSigns,
}

/// The parts, and what follows their sums.
pub fn lower(node: &ProtoNode) -> Result<(Parts, After)> {
    if node.op_type == "TreeEnsemble" {
        return lower_new(node);
    }
    let classifier = node.op_type == "TreeEnsembleClassifier";
    let table = Table::read(node)?;
    let leaf = if classifier { "class" } else { "target" };
    let ids = ints(node, &format!("{leaf}_ids"));
    let (trees_of, nodes_of) = (ints(node, &format!("{leaf}_treeids")), ints(node, &format!("{leaf}_nodeids")));
    let weights = floats(node, &format!("{leaf}_weights"))?;
    if trees_of.len() != ids.len() || nodes_of.len() != ids.len() || weights.len() != ids.len() {
        return Err(Error::input(format!("the lists of {leaf}_ids, treeids, nodeids and weights differ in length")));
    }
    let classes = attribute(node, "classlabels_int64s").map_or(0, |a| a.ints.len())
        + attribute(node, "classlabels_strings").map_or(0, |a| a.strings.len());
    let targets = match classifier {
        true => classes,
        false => attribute(node, "n_targets").map_or(1, |a| usize::try_from(a.i).unwrap_or(0)),
    };
    if targets == 0 || targets > 1 << 16 {
        return Err(Error::input(format!("the ensemble has {targets} outputs")));
    }
    // Two classes may be one column of weights, whatever its number is.
    let one = classifier && targets == 2 && ids.iter().all(|id| *id == ids[0]);
    let groups = if one { 1 } else { targets };
    let mut builder = table.trees()?;
    for (((id, tree), at), weight) in ids.iter().zip(trees_of).zip(nodes_of).zip(&weights) {
        let group = if one { 0 } else { u32::try_from(*id).unwrap_or(u32::MAX) };
        builder.weigh(*tree, *at, group, *weight)?;
    }
    let mut base: Vec<f64> = floats(node, "base_values")?;
    if base.is_empty() {
        base = vec![0.0; groups];
    } else if one && base.len() == 2 {
        base = vec![base[1]];
    }
    if base.len() != groups {
        return Err(Error::input(format!("{} base_values for {groups} outputs", base.len())));
    }
    let trees = builder.finish();
    if trees.is_empty() {
        return Err(Error::input("the ensemble has no trees"));
    }
    let scale = match text(node, "aggregate_function") {
        "" | "SUM" => 1.0,
        "AVERAGE" => 1.0 / trees.len().max(1) as f64,
        other => return Err(Error::input(format!("trees with the aggregate_function {other} are not supported"))),
    };
    if scale != 1.0 {
        // The base is added after the average.
        base.iter_mut().for_each(|base| *base /= scale);
    }
    let link = link(text(node, "post_transform"))?;
    let after = match (one, weights.iter().all(|w| *w >= 0.0), link) {
        (false, ..) => After::Link(link),
        (true, true, _) => After::Complement,
        (true, false, Link::Sigmoid) => After::TwoSigmoids,
        (true, false, _) => After::TwoSigns,
    };
    let double = ["nodes_values", "class_weights", "target_weights"]
        .iter()
        .any(|name| attribute(node, &format!("{name}_as_tensor")).is_some());
    Ok((Parts { trees, base, width: table.width, scale, link: Link::Identity, double }, after))
}

fn link(name: &str) -> Result<Link> {
    Ok(match name {
        "" | "NONE" => Link::Identity,
        "LOGISTIC" => Link::Sigmoid,
        "SOFTMAX" => Link::Softmax,
        other => return Err(Error::input(format!("the post_transform {other} is not supported"))),
    })
}

/// `[rows, width]` to `[rows, outputs]`.
pub fn evaluate(trees: &Trees, after: &After, rows: &Tensor) -> candle_core::Result<Tensor> {
    let inputs = rows.to_dtype(DType::F32)?.t()?;
    if inputs.rank() != 2 || inputs.dims()[0] < trees.width() {
        candle_core::bail!("the trees take {} features and are given {:?}", trees.width(), rows.dims());
    }
    let inputs = inputs.narrow(0, 0, trees.width())?.contiguous()?;
    let sums = trees.sums(&inputs)?.to_dtype(DType::F32)?;
    let outputs = match after {
        After::Link(link) => apply_link(&sums, *link)?,
        After::Complement => Tensor::cat(&[&(1.0 - &sums)?, &sums], 0)?,
        After::TwoSigns => Tensor::cat(&[&sums.neg()?, &sums], 0)?,
        After::TwoSigmoids => apply_link(&Tensor::cat(&[&sums.neg()?, &sums], 0)?, Link::Sigmoid)?,
    };
    outputs.t()
}

/// The nodes of all trees, a list for each property.
struct Table<'a> {
    tree: &'a [i64],
    node: &'a [i64],
    feature: &'a [i64],
    modes: Vec<&'a str>,
    values: Vec<f64>,
    yes: &'a [i64],
    no: &'a [i64],
    missing_yes: &'a [i64],
    width: usize,
}

impl<'a> Table<'a> {
    fn read(node: &'a ProtoNode) -> Result<Table<'a>> {
        let modes = attribute(node, "nodes_modes").map(|a| a.strings.as_slice()).unwrap_or_default();
        let table = Table {
            tree: ints(node, "nodes_treeids"),
            node: ints(node, "nodes_nodeids"),
            feature: ints(node, "nodes_featureids"),
            modes: modes.iter().map(|mode| std::str::from_utf8(mode).unwrap_or_default()).collect(),
            values: floats(node, "nodes_values")?,
            yes: ints(node, "nodes_truenodeids"),
            no: ints(node, "nodes_falsenodeids"),
            missing_yes: ints(node, "nodes_missing_value_tracks_true"),
            width: width(ints(node, "nodes_featureids"))?,
        };
        let n = table.tree.len();
        let lengths = [
            table.node.len(),
            table.feature.len(),
            table.modes.len(),
            table.values.len(),
            table.yes.len(),
            table.no.len(),
        ];
        let fits = lengths.iter().all(|length| *length == n) && [0, n].contains(&table.missing_yes.len());
        if fits && n > 0 { Ok(table) } else { Err(Error::input("the lists of its nodes differ in length")) }
    }

    /// The trees, whose leaves have no weights yet.
    fn trees(&self) -> Result<Builder> {
        let mut builder = Builder::default();
        for i in 0..self.tree.len() {
            builder.slot(self.tree[i], self.node[i])?;
        }
        for i in 0..self.tree.len() {
            let (tree, at) =
                builder.at(self.tree[i], self.node[i]).ok_or_else(|| Error::input("a node is not there"))?;
            if self.modes[i] == "LEAF" {
                continue;
            }
            let child = |builder: &Builder, id: i64| {
                let known = builder.at(self.tree[i], id).map(|(_, at)| at as u32);
                known.ok_or_else(|| {
                    Error::input(format!(
                        "tree {}: node {} has the child {id}, which is not there",
                        self.tree[i], self.node[i]
                    ))
                })
            };
            let (yes, no) = (child(&builder, self.yes[i])?, child(&builder, self.no[i])?);
            let feature = u32::try_from(self.feature[i]).unwrap_or(u32::MAX);
            let tracks = self.missing_yes.get(i).is_some_and(|flag| *flag != 0);
            let split = split(self.modes[i], self.values[i], tracks, (yes, no))
                .map_err(|e| e.context(format!("tree {}, node {}", self.tree[i], self.node[i])))?;
            builder.trees[tree].nodes[at] = Node::Split(Split { feature, ..split });
        }
        Ok(builder)
    }
}

/// A comparison as a test whose passing side is left.
fn split(mode: &str, value: f64, missing_yes: bool, (yes, no): (u32, u32)) -> Result<Split> {
    if value.is_nan() {
        return Err(Error::input("the threshold is NaN"));
    }
    let (at_most, below) = (Test::at_most(value), Test::below(value));
    let equal = || among(&[value]);
    // What is missing fails every comparison but the one for being different.
    let (test, turned, missing) = match mode {
        "BRANCH_LEQ" => (at_most, false, missing_yes),
        "BRANCH_LT" => (below, false, missing_yes),
        "BRANCH_GT" => (at_most, true, missing_yes),
        "BRANCH_GTE" => (below, true, missing_yes),
        "BRANCH_EQ" => (equal()?, false, missing_yes),
        "BRANCH_NEQ" => (equal()?, true, true),
        other => return Err(Error::input(format!("nodes of the mode {other:?} are not supported"))),
    };
    let (left, right) = if turned { (no, yes) } else { (yes, no) };
    Ok(Split { feature: 0, test, default_left: missing != turned, left, right })
}

/// Equal to one of these, as the definition has it: ONNX Runtime 1.31 cuts a value to a whole number first. No value of
/// 32 bits is equal to one that has more.
fn among(values: &[f64]) -> Result<Test> {
    if values.iter().any(|value| value.is_infinite()) {
        return Err(Error::input("comparing with infinity is not supported"));
    }
    let near = values.iter().map(|value| (*value as f32, *value)).filter(|(near, value)| f64::from(*near) == *value);
    Test::within(near.map(|(near, _)| (near, near.next_up())).collect()).ok_or_else(|| Error::input("the value is NaN"))
}

/// Trees by the numbers that the file gives them.
#[derive(Default)]
struct Builder {
    trees: Vec<Tree>,
    numbers: HashMap<i64, usize>,
    nodes: HashMap<(i64, i64), usize>,
    /// Values of leaves, of all trees and outputs.
    held: usize,
}

impl Builder {
    fn slot(&mut self, tree: i64, node: i64) -> Result<()> {
        let next = self.trees.len();
        let number = *self.numbers.entry(tree).or_insert(next);
        if number == next {
            self.trees.push(Tree { nodes: Vec::new(), outputs: Vec::new() });
        }
        let nodes = &mut self.trees[number].nodes;
        // The number of a leaf is that of its node.
        nodes.push(Node::Leaf(nodes.len() as u32));
        match self.nodes.insert((tree, node), nodes.len() - 1) {
            None => Ok(()),
            Some(_) => Err(Error::input(format!("tree {tree}: node {node} stands twice"))),
        }
    }

    fn at(&self, tree: i64, node: i64) -> Option<(usize, usize)> {
        Some((*self.numbers.get(&tree)?, *self.nodes.get(&(tree, node))?))
    }

    /// Adds a weight of a leaf to an output.
    fn weigh(&mut self, tree: i64, node: i64, group: u32, weight: f64) -> Result<()> {
        let absent = || Error::input(format!("tree {tree}: leaf {node} is not there"));
        let (tree, at) = self.at(tree, node).ok_or_else(absent)?;
        let tree = &mut self.trees[tree];
        let leaves = tree.nodes.len();
        if !tree.outputs.iter().any(|output| output.group == group) {
            self.held += leaves;
        }
        if self.held > MOST_VALUES {
            return Err(Error::input("the leaves of all trees and outputs are too many"));
        }
        let place = tree.outputs.iter().position(|output| output.group == group).unwrap_or_else(|| {
            tree.outputs.push(Leaves { group, values: vec![0.0; leaves] });
            tree.outputs.len() - 1
        });
        tree.outputs[place].values[at] += weight;
        Ok(())
    }

    fn finish(self) -> Vec<Tree> {
        self.trees
    }
}

fn width(features: &[i64]) -> Result<usize> {
    let last = features.iter().copied().max().unwrap_or(0);
    usize::try_from(last)
        .ok()
        .filter(|last| *last < MOST_FEATURES)
        .map(|last| last + 1)
        .ok_or_else(|| Error::input(format!("a node splits on feature {last}")))
}

fn ints<'a>(node: &'a ProtoNode, name: &str) -> &'a [i64] {
    attribute(node, name).map(|a| a.ints.as_slice()).unwrap_or_default()
}

/// A list of floats, or the tensor of doubles that may stand for it.
fn floats(node: &ProtoNode, name: &str) -> Result<Vec<f64>> {
    if let Some(list) = attribute(node, name) {
        return Ok(list.floats.iter().map(|value| f64::from(*value)).collect());
    }
    match attribute(node, &format!("{name}_as_tensor")).and_then(|a| a.t.as_ref()) {
        Some(tensor) => numbers(tensor),
        None => Ok(Vec::new()),
    }
}

fn numbers(tensor: &ProtoTensor) -> Result<Vec<f64>> {
    let constant = constant(tensor, &Default::default())?;
    let flat = constant.flatten_all().and_then(|t| t.to_dtype(DType::F64)).and_then(|t| t.to_vec1::<f64>());
    flat.map_err(|e| Error::input("a list of the trees cannot be read").cause(e))
}

/// The nodes of ai.onnx.ml 5: children are splits or leaves by a flag, and trees are known by their roots.
struct Newer<'a> {
    modes: Vec<f64>,
    splits: Vec<f64>,
    feature: &'a [i64],
    /// Where the true and the false side go, and whether that is a leaf.
    sides: [(&'a [i64], &'a [i64]); 2],
    tracks: &'a [i64],
    /// The values of each node that asks for one of several, by the number of the node.
    members: HashMap<usize, Vec<f64>>,
    targets: &'a [i64],
    weights: Vec<f64>,
    groups: usize,
}

/// What a node asks, by the number of its mode; the next number asks for a member of a set.
const MODES: [&str; 6] = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];

impl<'a> Newer<'a> {
    fn read(node: &'a ProtoNode) -> Result<Newer<'a>> {
        let tensor = |name: &str| -> Result<Vec<f64>> {
            attribute(node, name).and_then(|a| a.t.as_ref()).map_or_else(|| Ok(Vec::new()), numbers)
        };
        let modes = tensor("nodes_modes")?;
        let newer = Newer {
            members: members(&modes, &tensor("membership_values")?)?,
            modes,
            splits: tensor("nodes_splits")?,
            feature: ints(node, "nodes_featureids"),
            sides: [
                (ints(node, "nodes_truenodeids"), ints(node, "nodes_trueleafs")),
                (ints(node, "nodes_falsenodeids"), ints(node, "nodes_falseleafs")),
            ],
            tracks: ints(node, "nodes_missing_value_tracks_true"),
            targets: ints(node, "leaf_targetids"),
            weights: tensor("leaf_weights")?,
            groups: attribute(node, "n_targets").map_or(1, |a| usize::try_from(a.i).unwrap_or(0)),
        };
        let n = newer.modes.len();
        let sides = newer.sides.iter().all(|(ids, flags)| ids.len() == n && flags.len() == n);
        let fits = sides && newer.splits.len() == n && newer.feature.len() == n && [0, n].contains(&newer.tracks.len());
        if !fits || newer.weights.len() != newer.targets.len() {
            return Err(Error::input("the lists of its nodes differ in length"));
        }
        if newer.groups == 0 || newer.groups > 1 << 16 {
            return Err(Error::input(format!("the ensemble has {} targets", newer.groups)));
        }
        if let Some(target) = newer.targets.iter().find(|target| !(0..newer.groups as i64).contains(target)) {
            return Err(Error::input(format!("a leaf belongs to target {target} of {}", newer.groups)));
        }
        Ok(newer)
    }

    fn split(&self, at: usize) -> Result<Split> {
        let tracks = self.tracks.get(at).is_some_and(|flag| *flag != 0);
        let mode = (0u8..).zip(MODES).find(|(number, _)| f64::from(*number) == self.modes[at]);
        let split = match (self.members.get(&at), mode) {
            (Some(values), _) => {
                among(values).map(|test| Split { feature: 0, test, default_left: tracks, left: 0, right: 1 })
            }
            (None, Some((_, mode))) => split(mode, self.splits[at], tracks, (0, 1)),
            (None, None) => Err(Error::input(format!("its mode is {}", self.modes[at]))),
        };
        let split = split.map_err(|e| e.context(format!("node {at}")))?;
        Ok(Split { feature: u32::try_from(self.feature[at]).unwrap_or(u32::MAX), ..split })
    }

    /// The tree below a root. `taken` counts the nodes of all trees: more of them than the file has means that one is
    /// reached twice.
    fn tree(&self, root: i64, taken: &mut usize) -> Result<Tree> {
        let mut tree = Tree { nodes: Vec::new(), outputs: Vec::new() };
        let mut leaves: Vec<usize> = Vec::new();
        let mut open = vec![(usize::try_from(root).unwrap_or(usize::MAX), false, None)];
        while let Some((at, is_leaf, parent)) = open.pop() {
            *taken += 1;
            let count = if is_leaf { self.weights.len() } else { self.modes.len() };
            if at >= count || *taken > self.modes.len() + self.weights.len() {
                return Err(Error::input(format!("the node {at} is out of range, or reached twice")));
            }
            let here = tree.nodes.len() as u32;
            if let Some((parent, left)) = parent
                && let Node::Split(split) = &mut tree.nodes[parent as usize]
            {
                *(if left { &mut split.left } else { &mut split.right }) = here;
            }
            if is_leaf {
                tree.nodes.push(Node::Leaf(leaves.len() as u32));
                leaves.push(at);
                continue;
            }
            let split = self.split(at)?;
            let child = |side: u32| {
                let (ids, flags) = self.sides[side as usize];
                (usize::try_from(ids[at]).unwrap_or(usize::MAX), flags[at] != 0)
            };
            let (left, right) = (child(split.left), child(split.right));
            tree.nodes.push(Node::Split(split));
            open.extend([(right.0, right.1, Some((here, false))), (left.0, left.1, Some((here, true)))]);
        }
        for group in 0..self.groups {
            let value = |leaf: &usize| if self.targets[*leaf] == group as i64 { self.weights[*leaf] } else { 0.0 };
            let values: Vec<f64> = leaves.iter().map(value).collect();
            if values.iter().any(|value| *value != 0.0) {
                tree.outputs.push(Leaves { group: group as u32, values });
            }
        }
        Ok(tree)
    }
}

/// The sets stand in the order of the nodes that ask for them, and each ends with NaN.
fn members(modes: &[f64], values: &[f64]) -> Result<HashMap<usize, Vec<f64>>> {
    let asking: Vec<usize> = (0..modes.len()).filter(|at| modes[*at] == MODES.len() as f64).collect();
    let mut sets: Vec<Vec<f64>> = values.split(|value| value.is_nan()).map(<[f64]>::to_vec).collect();
    // Behind the last NaN there need not be a set, and of nothing there is none.
    if values.is_empty() || sets.len() > asking.len() && sets.last().is_some_and(Vec::is_empty) {
        sets.pop();
    }
    if sets.len() != asking.len() {
        return Err(Error::input(format!("{} nodes ask for members of {} sets", asking.len(), sets.len())));
    }
    Ok(asking.into_iter().zip(sets).collect())
}

fn lower_new(node: &ProtoNode) -> Result<(Parts, After)> {
    let newer = Newer::read(node)?;
    let mut taken = 0;
    let roots = ints(node, "tree_roots").iter();
    let trees = roots.map(|root| newer.tree(*root, &mut taken)).collect::<Result<Vec<Tree>>>()?;
    if trees.is_empty() {
        return Err(Error::input("the ensemble has no trees"));
    }
    let link = match attribute(node, "post_transform").map_or(0, |a| a.i) {
        0 => Link::Identity,
        1 => Link::Softmax,
        2 => Link::Sigmoid,
        other => return Err(Error::input(format!("the post_transform {other} is not supported"))),
    };
    let scale = match attribute(node, "aggregate_function").map_or(1, |a| a.i) {
        1 => 1.0,
        0 => 1.0 / trees.len().max(1) as f64,
        other => return Err(Error::input(format!("trees with the aggregate_function {other} are not supported"))),
    };
    let (base, width) = (vec![0.0; newer.groups], width(newer.feature)?);
    Ok((Parts { trees, base, width, scale, link: Link::Identity, double: false }, After::Link(link)))
}
