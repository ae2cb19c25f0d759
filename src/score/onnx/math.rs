//! The operators of ai.onnx that converters put around a model.

use candle_core::{DType, Device, Tensor};

use super::node::{self, MOST_ELEMENTS, attribute};
use super::proto;

pub const NAMES: [&str; 52] = [
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "Cast",
    "Clip",
    "Concat",
    "ConstantOfShape",
    "Div",
    "Equal",
    "Exp",
    "Expand",
    "Flatten",
    "Gather",
    "Gemm",
    "Greater",
    "GreaterOrEqual",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "Log",
    "MatMul",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// A node and its inputs; those that it leaves out are `None`.
pub struct Arguments<'a> {
    pub node: &'a proto::Node,
    pub inputs: Vec<Option<Tensor>>,
}

impl Arguments<'_> {
    pub fn at(&self, index: usize) -> candle_core::Result<Tensor> {
        match self.inputs.get(index).cloned().flatten() {
            Some(tensor) => Ok(tensor),
            None => candle_core::bail!("its input {index} is not there"),
        }
    }

    fn all(&self) -> Vec<Tensor> {
        self.inputs.iter().flatten().cloned().collect()
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        attribute(self.node, name).map_or(default, |a| a.i)
    }

    /// Whole numbers of an attribute, or of the input that took its place.
    fn ints(&self, name: &str, input: usize) -> candle_core::Result<Option<Vec<i64>>> {
        if let Some(list) = attribute(self.node, name) {
            return Ok(Some(list.ints.clone()));
        }
        self.inputs.get(input).cloned().flatten().map(|t| t.flatten_all()?.to_dtype(DType::I64)?.to_vec1()).transpose()
    }
}

/// An axis counted from either end.
fn axis(value: i64, rank: usize) -> candle_core::Result<usize> {
    let at = if value < 0 { value + rank as i64 } else { value };
    match usize::try_from(at) {
        Ok(at) if at < rank.max(1) => Ok(at),
        _ => candle_core::bail!("there is no axis {value} of {rank}"),
    }
}

/// Refuses what would make more elements than this, before it is made.
pub fn bounded(arguments: &Arguments<'_>, most: usize) -> candle_core::Result<()> {
    let shapes: Vec<Vec<usize>> = arguments.inputs.iter().flatten().map(|tensor| tensor.dims().to_vec()).collect();
    let rank = shapes.iter().map(Vec::len).max().unwrap_or(0);
    // The largest size on each axis, counted from the last: at least what broadcasting gives, and for products of
    // matrices rows times columns.
    let product = (1..=rank).try_fold(1usize, |all, back| {
        let size = shapes.iter().filter_map(|shape| shape.len().checked_sub(back).map(|at| shape[at])).max();
        all.checked_mul(size.unwrap_or(1))
    });
    let spreads = [
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Equal",
        "Less",
        "Greater",
        "LessOrEqual",
        "GreaterOrEqual",
        "And",
        "Or",
        "Sum",
        "Max",
        "Min",
        "Where",
        "MatMul",
        "Gemm",
        "Scaler",
        "Imputer",
    ];
    if spreads.contains(&arguments.node.op_type.as_str()) && product.is_none_or(|n| n > most) {
        candle_core::bail!("shapes {shapes:?} make too many elements");
    }
    Ok(())
}

pub fn run(arguments: &Arguments<'_>) -> candle_core::Result<Tensor> {
    let name = arguments.node.op_type.as_str();
    if name == "Constant" {
        return constant(arguments);
    }
    let x = arguments.at(0)?;
    match name {
        "Identity" | "ZipMap" => Ok(x),
        "Abs" => x.abs(),
        "Neg" => x.neg(),
        "Sqrt" => x.sqrt(),
        "Exp" => x.exp(),
        "Log" => x.log(),
        "Tanh" => x.tanh(),
        "Relu" => x.relu(),
        "Sigmoid" => (x.neg()?.exp()? + 1.0)?.recip(),
        "Not" => x.eq(&x.zeros_like()?),
        "IsNaN" => x.ne(&x),
        "Cast" => cast(arguments.int("to", 1), &x),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual"
        | "And" | "Or" => pair(name, &x, &arguments.at(1)?),
        "Sum" | "Max" | "Min" => {
            let others = arguments.all();
            others[1..].iter().try_fold(x, |all, next| match name {
                "Sum" => all.broadcast_add(next),
                "Max" => all.broadcast_maximum(next),
                _ => all.broadcast_minimum(next),
            })
        }
        "Where" => {
            let (yes, no) = (arguments.at(1)?, arguments.at(2)?);
            let shape = x.shape().broadcast_shape_binary_op(yes.shape(), "where")?;
            let shape = shape.broadcast_shape_binary_op(no.shape(), "where")?;
            let [x, yes, no] = [x, yes, no].map(|t| t.broadcast_as(&shape).and_then(|t| t.contiguous()));
            x?.to_dtype(DType::U8)?.where_cond(&yes?, &no?)
        }
        "Clip" => {
            let mut x = x;
            let bound = |index: usize, name: &str| match attribute(arguments.node, name) {
                Some(a) => Tensor::new(a.f, &Device::Cpu).map(Some),
                None => Ok(arguments.inputs.get(index).cloned().flatten()),
            };
            if let Some(low) = bound(1, "min")? {
                x = x.broadcast_maximum(&low.to_dtype(x.dtype())?)?;
            }
            if let Some(high) = bound(2, "max")? {
                x = x.broadcast_minimum(&high.to_dtype(x.dtype())?)?;
            }
            Ok(x)
        }
        "MatMul" => product(&x, &arguments.at(1)?),
        "Gemm" => gemm(arguments, &x),
        "Softmax" => {
            let axis = axis(arguments.int("axis", -1), x.rank())?;
            let shifted = x.broadcast_sub(&x.max_keepdim(axis)?)?.exp()?;
            shifted.broadcast_div(&shifted.sum_keepdim(axis)?)
        }
        _ if name.starts_with("Reduce") => reduce(arguments, name, &x),
        "ArgMax" | "ArgMin" => {
            let axis = axis(arguments.int("axis", 0), x.rank())?;
            let x = x.contiguous()?;
            let found = if name == "ArgMax" { x.argmax_keepdim(axis)? } else { x.argmin_keepdim(axis)? };
            let found = if arguments.int("keepdims", 1) != 0 { found } else { found.squeeze(axis)? };
            found.to_dtype(DType::I64)
        }
        _ => shapes(arguments, name, &x),
    }
}

fn constant(arguments: &Arguments<'_>) -> candle_core::Result<Tensor> {
    let node = arguments.node;
    if let Some(tensor) = attribute(node, "value").and_then(|a| a.t.as_ref()) {
        return node::constant(tensor, &Default::default()).map_err(|e| candle_core::Error::msg(e.to_string()));
    }
    match node.attribute.first() {
        Some(a) if a.name == "value_float" => Tensor::new(a.f, &Device::Cpu),
        Some(a) if a.name == "value_int" => Tensor::new(a.i, &Device::Cpu),
        Some(a) if a.name == "value_floats" => Tensor::new(a.floats.as_slice(), &Device::Cpu),
        Some(a) if a.name == "value_ints" => Tensor::new(a.ints.as_slice(), &Device::Cpu),
        _ => candle_core::bail!("a constant without a value"),
    }
}

fn cast(to: i64, x: &Tensor) -> candle_core::Result<Tensor> {
    use proto::element::{BOOL, DOUBLE, FLOAT, INT32, INT64, STRING};
    match i32::try_from(to).unwrap_or(0) {
        FLOAT | STRING => x.to_dtype(DType::F32),
        DOUBLE => x.to_dtype(DType::F64),
        INT64 | INT32 => x.to_dtype(DType::I64),
        BOOL => x.ne(&x.zeros_like()?),
        other => candle_core::bail!("casts to the element type {other} are not supported"),
    }
}

fn pair(name: &str, x: &Tensor, y: &Tensor) -> candle_core::Result<Tensor> {
    match name {
        "Add" => x.broadcast_add(y),
        "Sub" => x.broadcast_sub(y),
        "Mul" => x.broadcast_mul(y),
        "Div" => x.broadcast_div(y),
        "Pow" => x.broadcast_pow(&y.to_dtype(x.dtype())?),
        "Equal" => x.broadcast_eq(y),
        "Less" => x.broadcast_lt(y),
        "Greater" => x.broadcast_gt(y),
        "LessOrEqual" => x.broadcast_le(y),
        "GreaterOrEqual" => x.broadcast_ge(y),
        "And" => x.broadcast_minimum(y),
        _ => x.broadcast_maximum(y),
    }
}

/// A vector is a row on the left and a column on the right, and gone from the result.
fn product(x: &Tensor, y: &Tensor) -> candle_core::Result<Tensor> {
    let (row, column) = (x.rank() == 1, y.rank() == 1);
    let left = if row { x.unsqueeze(0)? } else { x.clone() };
    let right = if column { y.unsqueeze(1)? } else { y.clone() };
    let mut product = left.contiguous()?.broadcast_matmul(&right.contiguous()?)?;
    if column {
        product = product.squeeze(product.rank() - 1)?;
    }
    if row {
        product = product.squeeze(product.rank() - 1 - usize::from(!column))?;
    }
    Ok(product)
}

fn gemm(arguments: &Arguments<'_>, x: &Tensor) -> candle_core::Result<Tensor> {
    let turn = |tensor: Tensor, flag: &str| if arguments.int(flag, 0) != 0 { tensor.t() } else { Ok(tensor) };
    let factor = |name: &str| attribute(arguments.node, name).map_or(1.0, |a| f64::from(a.f));
    let product = turn(x.clone(), "transA")?.contiguous()?.matmul(&turn(arguments.at(1)?, "transB")?.contiguous()?)?;
    let product = (product * factor("alpha"))?;
    match arguments.inputs.get(2).cloned().flatten() {
        Some(bias) => product.broadcast_add(&(bias * factor("beta"))?),
        None => Ok(product),
    }
}

fn reduce(arguments: &Arguments<'_>, name: &str, x: &Tensor) -> candle_core::Result<Tensor> {
    let axes = arguments.ints("axes", 1)?.unwrap_or_else(|| (0..x.rank() as i64).collect());
    let mut axes = axes.into_iter().map(|value| axis(value, x.rank())).collect::<candle_core::Result<Vec<usize>>>()?;
    axes.sort_unstable();
    axes.dedup();
    let mut x = match name {
        "ReduceSumSquare" | "ReduceL2" => x.sqr()?,
        "ReduceL1" => x.abs()?,
        _ => x.clone(),
    };
    for axis in axes.iter().rev() {
        x = match name {
            "ReduceMax" => x.max_keepdim(*axis)?,
            "ReduceMin" => x.min_keepdim(*axis)?,
            "ReduceMean" => x.mean_keepdim(*axis)?,
            "ReduceProd" => {
                let parts = (0..x.dims()[*axis]).map(|at| x.narrow(*axis, at, 1));
                let parts = parts.collect::<candle_core::Result<Vec<Tensor>>>()?;
                let Some((first, rest)) = parts.split_first() else { candle_core::bail!("a product of nothing") };
                rest.iter().try_fold(first.clone(), |all, next| all * next)?
            }
            _ => x.sum_keepdim(*axis)?,
        };
    }
    if name == "ReduceL2" {
        x = x.sqrt()?;
    }
    if arguments.int("keepdims", 1) == 0 {
        for axis in axes.iter().rev() {
            x = x.squeeze(*axis)?;
        }
    }
    Ok(x)
}

/// Operators that move elements about.
fn shapes(arguments: &Arguments<'_>, name: &str, x: &Tensor) -> candle_core::Result<Tensor> {
    match name {
        "Concat" => {
            let all = arguments.all();
            let axis = axis(arguments.int("axis", 1), x.rank())?;
            Tensor::cat(&all.iter().map(|t| t.contiguous()).collect::<candle_core::Result<Vec<_>>>()?, axis)
        }
        "Reshape" => {
            let wanted = arguments.ints("shape", 1)?.unwrap_or_default();
            x.contiguous()?.reshape(shape(&wanted, x.dims())?)
        }
        "Flatten" => {
            let axis = axis(arguments.int("axis", 1), x.rank() + 1)?;
            let rows: usize = x.dims()[..axis].iter().product();
            x.contiguous()?.reshape((rows, x.elem_count() / rows.max(1)))
        }
        "Shape" => Tensor::new(x.dims().iter().map(|n| *n as i64).collect::<Vec<i64>>(), &Device::Cpu),
        "ConstantOfShape" | "Expand" => filled(arguments, name, x),
        "Transpose" => match attribute(arguments.node, "perm") {
            Some(perm) => {
                let perm = perm
                    .ints
                    .iter()
                    .map(|value| axis(*value, x.rank()))
                    .collect::<candle_core::Result<Vec<usize>>>()?;
                x.permute(perm)
            }
            None => x.permute((0..x.rank()).rev().collect::<Vec<usize>>()),
        },
        "Squeeze" | "Unsqueeze" => {
            let mut axes = arguments.ints("axes", 1)?.unwrap_or_default();
            let rank = if name == "Unsqueeze" { x.rank() + axes.len() } else { x.rank() };
            axes.sort_unstable();
            let axes = axes.into_iter().map(|value| axis(value, rank)).collect::<candle_core::Result<Vec<usize>>>()?;
            match name {
                "Unsqueeze" => axes.iter().try_fold(x.clone(), |x, axis| x.unsqueeze(*axis)),
                _ => axes.iter().rev().try_fold(x.clone(), |x, axis| x.squeeze(*axis)),
            }
        }
        "Gather" => gather(arguments, x),
        "Slice" => slice(arguments, x),
        other => candle_core::bail!("the operator {other} is not supported"),
    }
}

/// A tensor of a shape that is known only when it is run.
fn filled(arguments: &Arguments<'_>, name: &str, x: &Tensor) -> candle_core::Result<Tensor> {
    let dims = if name == "Expand" { arguments.at(1)? } else { x.clone() }.flatten_all()?.to_vec1::<i64>()?;
    let dims: Vec<usize> = dims.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
    let elements = dims.iter().try_fold(1usize, |all, n| all.checked_mul(*n));
    if elements.is_none_or(|n| n > MOST_ELEMENTS) {
        candle_core::bail!("the shape {dims:?} claims too many elements");
    }
    match name {
        "Expand" => x.broadcast_as(x.shape().broadcast_shape_binary_op(&dims.into(), "expand")?)?.contiguous(),
        _ => match attribute(arguments.node, "value").and_then(|a| a.t.as_ref()) {
            Some(tensor) => {
                let value =
                    node::constant(tensor, &Default::default()).map_err(|e| candle_core::Error::msg(e.to_string()))?;
                value.reshape(())?.broadcast_as(dims)?.contiguous()
            }
            None => Tensor::zeros(dims, DType::F32, &Device::Cpu),
        },
    }
}

fn gather(arguments: &Arguments<'_>, x: &Tensor) -> candle_core::Result<Tensor> {
    let axis = axis(arguments.int("axis", 0), x.rank())?;
    let indices = arguments.at(1)?;
    let length = x.dims()[axis] as i64;
    let flat = indices.flatten_all()?.to_dtype(DType::I64)?.to_vec1::<i64>()?;
    let picked = select(x, axis, flat.into_iter().map(|at| if at < 0 { at + length } else { at }))?;
    if indices.rank() == 0 { picked.squeeze(axis) } else { Ok(picked) }
}

/// The slices with these numbers; Candle itself takes some numbers out of range for zeros.
pub fn select(x: &Tensor, axis: usize, indices: impl Iterator<Item = i64>) -> candle_core::Result<Tensor> {
    let length = x.dims()[axis];
    let number = |at: i64| match usize::try_from(at) {
        Ok(number) if number < length => Ok(number as u32),
        _ => candle_core::bail!("the index {at} is out of {length}"),
    };
    let numbers = indices.map(number).collect::<candle_core::Result<Vec<u32>>>()?;
    x.contiguous()?.index_select(&Tensor::new(numbers, &Device::Cpu)?, axis)
}

fn slice(arguments: &Arguments<'_>, x: &Tensor) -> candle_core::Result<Tensor> {
    if arguments.ints("steps", 4)?.is_some_and(|steps| steps.iter().any(|step| *step != 1)) {
        candle_core::bail!("slices with steps are not supported");
    }
    let list = |name: &str, input: usize| arguments.ints(name, input);
    let (Some(starts), Some(ends)) = (list("starts", 1)?, list("ends", 2)?) else {
        candle_core::bail!("a slice without its ends");
    };
    let axes = list("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let mut x = x.clone();
    for ((start, end), at) in starts.iter().zip(&ends).zip(&axes) {
        let axis = axis(*at, x.rank())?;
        let length = x.dims()[axis] as i64;
        let place =
            |value: i64| (if value < 0 { value.saturating_add(length) } else { value }).clamp(0, length) as usize;
        let (start, end) = (place(*start), place(*end));
        x = x.narrow(axis, start, end.saturating_sub(start))?;
    }
    Ok(x)
}

/// A wanted shape, of which one size may be -1 and some 0 (as it was).
fn shape(wanted: &[i64], from: &[usize]) -> candle_core::Result<Vec<usize>> {
    let all: usize = from.iter().product();
    let mut dims = Vec::with_capacity(wanted.len());
    for (at, size) in wanted.iter().enumerate() {
        dims.push(match size {
            0 => from.get(at).copied().unwrap_or(0),
            -1 => 1,
            size => usize::try_from(*size).unwrap_or(usize::MAX),
        });
    }
    if let Some(open) = wanted.iter().position(|size| *size == -1) {
        let known = dims.iter().try_fold(1usize, |all, n| all.checked_mul(*n)).filter(|n| *n > 0);
        let Some(known) = known else { candle_core::bail!("the shape {wanted:?} does not fit") };
        dims[open] = all / known;
    }
    Ok(dims)
}
