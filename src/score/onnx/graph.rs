//! A graph that was read: its inputs, its steps in order, and how a batch goes through them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::{DType, Device, Tensor};

use super::made::Made;
use super::node::{MOST_ELEMENTS, MOST_OUTPUTS};
use super::proto::{self, element};
use super::{math, ml, trees};
use crate::error::{Error, Result};
use crate::score::contract::Features;

/// Rows that go through the graph together.
const TILE: usize = 1024;
/// Elements of all tensors of a tile together.
const MOST_HELD: usize = 1 << 28;

pub type Tensors = HashMap<String, Tensor>;

#[derive(Debug)]
pub struct Graph {
    pub inputs: Vec<Input>,
    pub constants: Tensors,
    pub steps: Vec<Step>,
    pub output: String,
    pub outputs: usize,
    pub takes_missing: bool,
}

/// One input of the graph, of one or more columns.
#[derive(Debug)]
pub struct Input {
    pub name: String,
    pub columns: usize,
    pub element: i32,
}

#[derive(Debug)]
pub struct Step {
    pub node: proto::Node,
    /// What the node holds that is made once.
    pub made: Made,
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
    pub fn trial(&self) -> Result<usize> {
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
