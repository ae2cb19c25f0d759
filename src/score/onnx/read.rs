//! Reads a file of ONNX: which output is scored, what leads to it, and the steps in order.

use std::collections::{HashMap, HashSet};

use prost::Message;

use super::around::ranges;
use super::graph::{Graph, Input, Step, Tensors};
use super::made::Made;
use super::node::{MOST_FEATURES, MOST_NODES, constant};
use super::proto::{self, element};
use super::{math, ml, trees};
use crate::error::{Error, Result};
use crate::score::Model;
use crate::score::imported::{ImportedModel, ModelMetadata};
use crate::score::trees::Trees;

/// Reads a model; the output that is scored is the probabilities or scores when there are any, else the first.
pub fn read(bytes: &[u8], iterations: Option<usize>) -> Result<ImportedModel> {
    if iterations.is_some() {
        return Err(Error::input("an ONNX model has no iterations to choose from"));
    }
    let model = proto::Model::decode(bytes).map_err(|e| Error::input("not a whole ONNX file").cause(e))?;
    let graph = model.graph.ok_or_else(|| Error::input("the ONNX file has no graph"))?;
    let names: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    if graph.node.len() > MOST_NODES {
        return Err(Error::input(format!("the graph has {} nodes; at most {MOST_NODES} are read", graph.node.len())));
    }
    let inputs = graph.input.iter().filter(|input| !names.contains(input.name.as_str())).map(input);
    let inputs = inputs.collect::<Result<Vec<Input>>>()?;
    let words = words(&graph);
    let mut constants = Tensors::new();
    let output = chosen(&graph)?;
    let needed = needed(&graph, &output);
    for tensor in graph.initializer.iter().filter(|tensor| needed.contains(tensor.name.as_str())) {
        constants.insert(tensor.name.clone(), constant(tensor, &words)?);
    }
    let mut steps = Vec::new();
    for node in graph.node.iter().filter(|node| node.output.iter().any(|name| needed.contains(name.as_str()))) {
        if node.op_type.ends_with("Classifier") && node.output.len() > 1 && needed.contains(node.output[0].as_str()) {
            return Err(Error::input(format!(
                "the label of the classifier {} is used within the graph, which is not supported",
                node.name
            )));
        }
        let made = made(node, &words).map_err(|e| e.context(format!("the node {} ({})", node.name, node.op_type)))?;
        steps.push(Step { node: node.clone(), made });
    }
    let takes = ["Imputer", "IsNaN", "TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"];
    let takes_missing = steps.iter().any(|step| takes.contains(&step.node.op_type.as_str()));
    if let Some(input) = inputs.iter().find(|input| input.element == element::STRING && words.is_empty()) {
        return Err(Error::input(format!(
            "the input {:?} takes words, and no encoder of the graph names any",
            input.name
        )));
    }
    let facts = facts(&inputs, &words, &model.producer, &steps);
    let mut graph = Graph { inputs, constants, steps, output, outputs: 0, takes_missing };
    graph.outputs = graph.trial()?;
    Ok(ImportedModel { model: Model::Graph(graph), facts })
}

fn input(info: &proto::ValueInfo) -> Result<Input> {
    let kind = info.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
    let kind = kind.ok_or_else(|| Error::input(format!("the input {:?} is not a tensor", info.name)))?;
    let dims: Vec<i64> = kind.shape.as_ref().map(|s| s.dim.iter().map(|d| d.value).collect()).unwrap_or_default();
    let columns = match dims.as_slice() {
        [] | [_] => 1,
        [_, columns] => usize::try_from(*columns).unwrap_or(0),
        _ => 0,
    };
    if columns == 0 || columns > MOST_FEATURES {
        return Err(Error::input(format!("the input {:?} has the shape {dims:?}, not [rows, columns]", info.name))
            .hint("convert the model with a fixed number of columns, as FloatTensorType([None, 12])"));
    }
    match kind.element {
        element::FLOAT | element::DOUBLE | element::INT64 | element::INT32 | element::STRING | element::BOOL => {}
        other => {
            return Err(Error::input(format!(
                "the input {:?} has the element type {other}, which is not read",
                info.name
            )));
        }
    }
    Ok(Input { name: info.name.clone(), columns, element: kind.element })
}

/// Every word that an encoder of the graph knows, with its number.
fn words(graph: &proto::Graph) -> HashMap<Vec<u8>, usize> {
    let attributes = graph.node.iter().flat_map(|node| &node.attribute);
    let lists = attributes.filter(|a| matches!(a.name.as_str(), "cats_strings" | "keys_strings"));
    let mut all: Vec<&Vec<u8>> = lists.flat_map(|a| &a.strings).collect();
    let tensors = graph.node.iter().flat_map(|node| &node.attribute).filter(|a| a.name == "keys_tensor");
    all.extend(tensors.filter_map(|a| a.t.as_ref()).flat_map(|tensor| &tensor.string_data));
    all.sort_unstable();
    all.dedup();
    all.into_iter().cloned().zip(0..).collect()
}

/// The name of the output to score; a ZipMap only makes dictionaries of it.
fn chosen(graph: &proto::Graph) -> Result<String> {
    let names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let like = |word: &str| names.iter().find(|name| name.to_lowercase().contains(word));
    let name = like("prob").or_else(|| like("score")).or_else(|| names.iter().find(|name| !name.contains("label")));
    let name = name.or(names.first()).ok_or_else(|| Error::input("the graph has no output"))?;
    let zipped = graph.node.iter().find(|node| node.op_type == "ZipMap" && node.output.iter().any(|o| o == name));
    Ok(zipped.and_then(|node| node.input.first()).map_or_else(|| (*name).to_owned(), Clone::clone))
}

/// Every name that the output is made of.
fn needed<'a>(graph: &'a proto::Graph, output: &'a str) -> HashSet<&'a str> {
    let makers: HashMap<&str, &proto::Node> =
        graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node))).collect();
    let mut found = HashSet::new();
    let mut open = vec![output];
    while let Some(name) = open.pop() {
        if found.insert(name)
            && let Some(node) = makers.get(name)
        {
            open.extend(node.input.iter().map(String::as_str));
        }
    }
    found
}

fn made(node: &proto::Node, words: &HashMap<Vec<u8>, usize>) -> Result<Made> {
    Ok(match node.op_type.as_str() {
        "TreeEnsembleClassifier" | "TreeEnsembleRegressor" | "TreeEnsemble" => {
            let (parts, after) = trees::lower(node)?;
            Made::Trees(Box::new(Trees::new(parts)?), after)
        }
        "LabelEncoder" => ml::labels(node, words)?,
        "OneHotEncoder" => ml::categories(node, words)?,
        "Constant" | "Identity" | "ZipMap" => Made::Nothing,
        name if ml::NAMES.contains(&name) || math::NAMES.contains(&name) => Made::Nothing,
        name => return Err(Error::input(format!("the ONNX operator {name} is not supported"))),
    })
}

fn facts(inputs: &[Input], words: &HashMap<Vec<u8>, usize>, producer: &str, steps: &[Step]) -> ModelMetadata {
    let mut sorted: Vec<(&Vec<u8>, &usize)> = words.iter().collect();
    sorted.sort_by_key(|(_, number)| **number);
    let words: Vec<String> = sorted.into_iter().map(|(word, _)| String::from_utf8_lossy(word).into_owned()).collect();
    let by = if producer.is_empty() { String::new() } else { format!(" by {producer}") };
    let mut facts = ModelMetadata { objective: format!("a graph{by}"), ..ModelMetadata::default() };
    for input in inputs {
        for _ in 0..input.columns {
            facts.vocabularies.push((input.element == element::STRING).then(|| words.clone()));
            facts.categorical.push(input.element == element::STRING);
        }
    }
    // The columns of a matrix have no names.
    if inputs.iter().all(|input| input.columns == 1) {
        facts.names = inputs.iter().map(|input| input.name.clone()).collect();
    }
    facts.ranges = ranges(steps, inputs.iter().map(|input| input.columns).sum());
    facts.unknown_words = steps.iter().any(|step| matches!(step.made, Made::Categories(_, true)));
    facts
}
