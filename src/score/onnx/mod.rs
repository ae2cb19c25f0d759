//! ONNX models of tables: what skl2onnx, onnxmltools and their kin write for a scikit-learn Pipeline, boosted trees and
//! linear models. The graph is run as it stands, on Candle tensors, in tiles of fixed size, because the last bits of a
//! multiplication depend on its shape. Only what leads to the chosen output is run, so a label made of words is no matter.
//! Words are numbers from the start: their place among all words that the graph knows.

mod around;
mod math;
mod ml;
pub mod proto;
mod trees;

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::{DType, Device, Tensor};
use prost::Message;

use super::Model;
use super::contract::Features;
use super::imported::{ImportedModel, ModelMetadata};
use super::trees::Trees;
use crate::error::{Error, Result};
use proto::element;

/// Rows that go through the graph together.
const TILE: usize = 1024;
/// More than any input of a table or constant of a graph.
const MOST_FEATURES: usize = 1 << 16;
const MOST_OUTPUTS: usize = 1 << 12;
const MOST_NODES: usize = 1 << 14;
const MOST_ELEMENTS: usize = 1 << 26;
/// Elements of all tensors of a tile together.
const MOST_HELD: usize = 1 << 28;

type Tensors = HashMap<String, Tensor>;

#[derive(Debug)]
pub struct Graph {
    inputs: Vec<Input>,
    constants: Tensors,
    steps: Vec<Step>,
    output: String,
    outputs: usize,
    takes_missing: bool,
}

/// One input of the graph, of one or more columns.
#[derive(Debug)]
struct Input {
    name: String,
    columns: usize,
    element: i32,
}

#[derive(Debug)]
struct Step {
    node: proto::Node,
    /// What the node holds that is made once.
    made: Made,
}

#[derive(Debug)]
enum Made {
    Nothing,
    Trees(Box<Trees>, trees::After),
    /// The keys as numbers, the values, and the value of what is no key.
    Labels(HashMap<u64, f64>, f64, DType),
    /// The categories as numbers.
    Categories(Vec<f64>, bool),
}

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

fn constant(tensor: &proto::Tensor, words: &HashMap<Vec<u8>, usize>) -> Result<Tensor> {
    let wrong = |what: &str| Error::input(format!("the constant {:?} {what}", tensor.name));
    let dims = tensor.dims.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<Vec<usize>>>();
    let dims = dims.ok_or_else(|| wrong("has a negative size"))?;
    let elements = dims.iter().try_fold(1usize, |all, n| all.checked_mul(*n)).filter(|n| *n <= MOST_ELEMENTS);
    let elements = elements.ok_or_else(|| wrong("claims too many elements"))?;
    fn raw<const N: usize, T>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.chunks_exact(N).map(|chunk| of(std::array::from_fn(|i| chunk[i]))).collect()
    }
    let bytes = &tensor.raw_data;
    let device = Device::Cpu;
    let made = match tensor.data_type {
        element::FLOAT if bytes.is_empty() => Tensor::new(tensor.float_data.as_slice(), &device),
        element::FLOAT => Tensor::new(raw(bytes, f32::from_le_bytes), &device),
        element::DOUBLE if bytes.is_empty() => Tensor::new(tensor.double_data.as_slice(), &device),
        element::DOUBLE => Tensor::new(raw(bytes, f64::from_le_bytes), &device),
        element::INT64 if bytes.is_empty() => Tensor::new(tensor.int64_data.as_slice(), &device),
        element::INT64 => Tensor::new(raw(bytes, i64::from_le_bytes), &device),
        element::INT32 if !bytes.is_empty() => Tensor::new(raw(bytes, |b| i64::from(i32::from_le_bytes(b))), &device),
        element::BOOL | element::UINT8 if !bytes.is_empty() => Tensor::new(bytes.as_slice(), &device),
        element::BOOL | element::UINT8 => {
            Tensor::new(tensor.int32_data.iter().map(|v| *v as u8).collect::<Vec<u8>>(), &device)
        }
        element::INT32 => Tensor::new(tensor.int32_data.iter().map(|v| i64::from(*v)).collect::<Vec<i64>>(), &device),
        element::STRING => {
            let number = |word: &Vec<u8>| words.get(word).map_or(f32::NAN, |at| *at as f32);
            Tensor::new(tensor.string_data.iter().map(number).collect::<Vec<f32>>(), &device)
        }
        other => return Err(wrong(&format!("has the element type {other}, which is not read"))),
    };
    let made = made.map_err(|e| wrong("cannot be read").cause(e))?;
    if made.elem_count() != elements {
        return Err(wrong(&format!("holds {} elements, not {elements}", made.elem_count())));
    }
    made.reshape(dims).map_err(|e| wrong("cannot be read").cause(e))
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
    facts.ranges = around::ranges(steps, inputs.iter().map(|input| input.columns).sum());
    facts.unknown_words = steps.iter().any(|step| matches!(step.made, Made::Categories(_, true)));
    facts
}

impl Graph {
    pub fn width(&self) -> usize {
        self.inputs.iter().map(|input| input.columns).sum()
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn takes_missing(&self) -> bool {
        self.takes_missing
    }

    /// A whole number cannot be missing.
    pub fn takes_missing_at(&self, index: usize) -> bool {
        let mut kinds = self.inputs.iter().flat_map(|input| std::iter::repeat_n(input.element, input.columns));
        let whole = [element::INT64, element::INT32, element::BOOL];
        self.takes_missing && kinds.nth(index).is_some_and(|kind| !whole.contains(&kind))
    }

    /// The operators that are run, in words.
    pub fn description(&self) -> String {
        let mut names: Vec<&str> = self.steps.iter().map(|step| step.node.op_type.as_str()).collect();
        names.dedup();
        names.join(", ")
    }

    /// One tile of zeros shows whether the graph can be run, and how many outputs it has.
    fn trial(&self) -> Result<usize> {
        let values = vec![0.0; self.width() * TILE];
        let ran = catch_unwind(AssertUnwindSafe(|| self.tile(&values)));
        let wrong = |e: &dyn std::fmt::Display| Error::input("the graph cannot be run").cause(e);
        let out = ran.map_err(|panic| wrong(&crate::panic_text(&*panic)))?.map_err(|e| wrong(&reason(&e)))?;
        match out.dims()[0] {
            outputs if outputs <= MOST_OUTPUTS => Ok(outputs),
            outputs => Err(Error::input(format!("the graph gives {outputs} outputs; at most {MOST_OUTPUTS} are read"))),
        }
    }

    pub fn score(&self, features: &Features) -> candle_core::Result<Vec<Vec<f32>>> {
        let rows = features.rows;
        let mut outputs = vec![Vec::with_capacity(rows); self.outputs];
        for start in (0..rows).step_by(TILE) {
            let n = TILE.min(rows - start);
            let mut tile = vec![0.0f32; self.width() * TILE];
            for (padded, column) in tile.chunks_exact_mut(TILE).zip(features.values.chunks_exact(rows)) {
                padded[..n].copy_from_slice(&column[start..start + n]);
            }
            for (output, values) in outputs.iter_mut().zip(self.tile(&tile)?.to_vec2::<f32>()?) {
                output.extend_from_slice(&values[..n]);
            }
        }
        Ok(outputs)
    }

    /// `[width, TILE]` to `[outputs, TILE]`.
    fn tile(&self, values: &[f32]) -> candle_core::Result<Tensor> {
        let mut known = self.constants.clone();
        let mut first = 0;
        for input in &self.inputs {
            let part = &values[first * TILE..][..input.columns * TILE];
            first += input.columns;
            let tensor = Tensor::from_slice(part, (input.columns, TILE), &Device::Cpu)?.t()?;
            let tensor = match input.element {
                element::DOUBLE => tensor.to_dtype(DType::F64)?,
                element::INT64 | element::INT32 => tensor.to_dtype(DType::I64)?,
                element::BOOL => tensor.to_dtype(DType::U8)?,
                _ => tensor,
            };
            known.insert(input.name.clone(), tensor);
        }
        let mut held = 0;
        for step in &self.steps {
            let made = step.run(&known)?;
            held += made.first().map_or(0, Tensor::elem_count);
            if held > MOST_HELD {
                candle_core::bail!("the graph makes more than {MOST_HELD} elements for {TILE} rows");
            }
            for (name, tensor) in step.node.output.iter().zip(made) {
                known.insert(name.clone(), tensor);
            }
        }
        let Some(out) = known.get(&self.output) else { candle_core::bail!("the output {:?} is not made", self.output) };
        let out = if out.rank() == 1 { out.unsqueeze(1)? } else { out.clone() };
        if out.rank() != 2 || out.dims()[0] != TILE {
            candle_core::bail!("the output has the shape {:?} for {TILE} rows", out.dims());
        }
        out.to_dtype(DType::F32)?.t()?.contiguous()
    }
}

impl Step {
    /// The node's outputs. A classifier's label is not made.
    fn run(&self, known: &Tensors) -> candle_core::Result<Vec<Tensor>> {
        let mut inputs = Vec::with_capacity(self.node.input.len());
        for name in &self.node.input {
            match known.get(name) {
                Some(tensor) => inputs.push(Some(tensor.clone())),
                None if name.is_empty() => inputs.push(None),
                None => candle_core::bail!("{} takes {name:?}, which nothing makes", self.node.op_type),
            }
        }
        let arguments = math::Arguments { node: &self.node, inputs };
        math::bounded(&arguments, MOST_ELEMENTS)?;
        let result = match &self.made {
            Made::Trees(trees, after) => trees::evaluate(trees, after, &arguments.at(0)?),
            Made::Labels(map, default, dtype) => ml::encode_labels(&arguments.at(0)?, map, *default, *dtype),
            Made::Categories(categories, _) => ml::one_hot(&arguments.at(0)?, categories),
            Made::Nothing if ml::NAMES.contains(&self.node.op_type.as_str()) => ml::run(&arguments),
            Made::Nothing => math::run(&arguments),
        };
        let tensor = result.map_err(|e| e.context(format!("the node {} ({})", self.node.name, self.node.op_type)))?;
        if tensor.elem_count() > MOST_ELEMENTS {
            candle_core::bail!("{} makes {} elements", self.node.op_type, tensor.elem_count());
        }
        // A classifier gives the label first; what is scored is the second output.
        Ok(vec![tensor; self.node.output.len().max(1)])
    }
}

/// What went wrong, without the trace of the library's own functions.
fn reason(error: &candle_core::Error) -> String {
    let text = error.to_string();
    let frame = |line: &&str| {
        let line = line.trim_start();
        let number = line.split(':').next().is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        !number && !line.starts_with("at ") && !line.is_empty()
    };
    text.lines().filter(frame).collect::<Vec<_>>().join("; ")
}

/// An attribute of a node.
fn attribute<'a>(node: &'a proto::Node, name: &str) -> Option<&'a proto::Attribute> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn text<'a>(node: &'a proto::Node, name: &str) -> &'a str {
    attribute(node, name).and_then(|a| std::str::from_utf8(&a.s).ok()).unwrap_or_default()
}
