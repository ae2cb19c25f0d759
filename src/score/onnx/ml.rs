//! The operators of ai.onnx.ml that are not trees.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};

use super::made::Made;
use super::math::{Arguments, select};
use super::node::{MOST_ELEMENTS, attribute, constant, text};
use super::proto;
use crate::error::{Error, Result};
use crate::score::{Link, apply_link};

pub const NAMES: [&str; 7] =
    ["Scaler", "Imputer", "Normalizer", "LinearClassifier", "LinearRegressor", "ArrayFeatureExtractor", "Binarizer"];

pub fn run(arguments: &Arguments<'_>) -> candle_core::Result<Tensor> {
    let x = arguments.at(0)?;
    match arguments.node.op_type.as_str() {
        "Scaler" => {
            let (offset, scale) = (row(arguments, "offset")?, row(arguments, "scale")?);
            x.to_dtype(DType::F32)?.broadcast_sub(&offset)?.broadcast_mul(&scale)
        }
        "Imputer" => impute(arguments, &x),
        "Normalizer" => normalize(text(arguments.node, "norm"), &x.to_dtype(DType::F32)?),
        "LinearClassifier" | "LinearRegressor" => linear(arguments, &x.to_dtype(DType::F32)?),
        "ArrayFeatureExtractor" => {
            let indices = arguments.at(1)?.flatten_all()?.to_dtype(DType::I64)?.to_vec1::<i64>()?;
            if x.rank() == 0 {
                candle_core::bail!("there is nothing to pick from");
            }
            select(&x, x.rank() - 1, indices.into_iter())
        }
        "Binarizer" => {
            let threshold = attribute(arguments.node, "threshold").map_or(0.0, |a| a.f);
            let threshold = Tensor::new(threshold, &Device::Cpu)?.broadcast_as(x.shape())?;
            x.to_dtype(DType::F32)?.gt(&threshold)?.to_dtype(DType::F32)
        }
        other => candle_core::bail!("the operator {other} is not supported"),
    }
}

/// An attribute of floats as one row.
fn row(arguments: &Arguments<'_>, name: &str) -> candle_core::Result<Tensor> {
    let floats = attribute(arguments.node, name).map(|a| a.floats.clone()).unwrap_or_default();
    let n = floats.len();
    Tensor::from_vec(floats, (1, n), &Device::Cpu)
}

fn impute(arguments: &Arguments<'_>, x: &Tensor) -> candle_core::Result<Tensor> {
    let ints = attribute(arguments.node, "imputed_value_int64s").map(|a| a.ints.clone()).unwrap_or_default();
    let (values, hit) = match ints.is_empty() {
        false => {
            let gone = attribute(arguments.node, "replaced_value_int64").map_or(0, |a| a.i);
            let n = ints.len();
            (
                Tensor::from_vec(ints, (1, n), &Device::Cpu)?,
                x.eq(&Tensor::new(gone, &Device::Cpu)?.broadcast_as(x.shape())?)?,
            )
        }
        true => {
            let gone = attribute(arguments.node, "replaced_value_float").map_or(f32::NAN, |a| a.f);
            let hit = if gone.is_nan() {
                x.ne(x)?
            } else {
                x.eq(&Tensor::new(gone, &Device::Cpu)?.broadcast_as(x.shape())?)?
            };
            (row(arguments, "imputed_value_floats")?.to_dtype(x.dtype())?, hit)
        }
    };
    hit.where_cond(&values.broadcast_as(x.shape())?.contiguous()?, &x.contiguous()?)
}

fn normalize(norm: &str, x: &Tensor) -> candle_core::Result<Tensor> {
    let by = match norm {
        "L1" => x.abs()?.sum_keepdim(1)?,
        "L2" => x.sqr()?.sum_keepdim(1)?.sqrt()?,
        _ => x.abs()?.max_keepdim(1)?,
    };
    // A row of zeros stays one.
    let ones = by.ones_like()?;
    let by = by.eq(&by.zeros_like()?)?.where_cond(&ones, &by)?;
    x.broadcast_div(&by)
}

/// `x` times the coefficients of each output, plus its intercept.
fn linear(arguments: &Arguments<'_>, x: &Tensor) -> candle_core::Result<Tensor> {
    let node = arguments.node;
    let floats = |name: &str| attribute(node, name).map(|a| a.floats.clone()).unwrap_or_default();
    let width = x.dims2()?.1;
    let weights = floats("coefficients");
    let outputs = weights.len() / width.max(1);
    if outputs == 0 || weights.len() != outputs * width {
        candle_core::bail!("{} coefficients do not fit {width} inputs", weights.len());
    }
    let labels = attribute(node, "classlabels_ints").map_or(0, |a| a.ints.len())
        + attribute(node, "classlabels_strings").map_or(0, |a| a.strings.len());
    if labels > 0 && outputs != labels && (outputs, labels) != (1, 2) {
        candle_core::bail!(
            "{} coefficients do not fit {width} inputs and {labels} classes: the converter left columns out, as skl2onnx does with \
             the indicator of an imputer (add_indicator)",
            weights.len()
        );
    }
    let weights = Tensor::from_vec(weights, (outputs, width), &Device::Cpu)?;
    let mut scores = x.contiguous()?.matmul(&weights.t()?)?;
    let intercepts = floats("intercepts");
    if !intercepts.is_empty() {
        let n = intercepts.len();
        scores = scores.broadcast_add(&Tensor::from_vec(intercepts, (1, n), &Device::Cpu)?)?;
    }
    let link = match text(node, "post_transform") {
        "" | "NONE" => Link::Identity,
        "LOGISTIC" => Link::Sigmoid,
        "SOFTMAX" => Link::Softmax,
        other => candle_core::bail!("the post_transform {other} is not supported"),
    };
    // One column of two classes stands for both.
    if outputs == 1 && labels == 2 {
        scores = match link {
            Link::Identity => Tensor::cat(&[&scores.neg()?, &scores], 1)?,
            _ => {
                let score = apply_link(&scores, Link::Sigmoid)?;
                Tensor::cat(&[&(1.0 - &score)?, &score], 1)?
            }
        };
        return Ok(scores);
    }
    apply_link(&scores.t()?, link)?.t()
}

/// A number as what tells it from all others.
fn key(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

type Words = HashMap<Vec<u8>, usize>;

pub fn labels(node: &proto::Node, words: &Words) -> Result<Made> {
    let list = |names: [&str; 4]| -> Option<Vec<f64>> {
        let [strings, ints, floats, tensor] = names;
        let strings = attribute(node, strings).map(|a| &a.strings).filter(|list| !list.is_empty());
        let ints = attribute(node, ints).map(|a| &a.ints).filter(|list| !list.is_empty());
        let floats = attribute(node, floats).map(|a| &a.floats).filter(|list| !list.is_empty());
        let tensor = attribute(node, tensor).and_then(|a| a.t.as_ref()).and_then(|t| constant(t, words).ok());
        let number = |word: &Vec<u8>| words.get(word).map_or(f64::NAN, |at| *at as f64);
        strings
            .map(|list| list.iter().map(number).collect())
            .or_else(|| ints.map(|list| list.iter().map(|v| *v as f64).collect()))
            .or_else(|| floats.map(|list| list.iter().map(|v| f64::from(*v)).collect()))
            .or_else(|| tensor.and_then(|t| t.flatten_all().ok()?.to_dtype(DType::F64).ok()?.to_vec1().ok()))
    };
    if attribute(node, "values_strings").is_some_and(|a| !a.strings.is_empty()) {
        return Err(Error::input("an encoder that makes words is not supported"));
    }
    let keys = list(["keys_strings", "keys_int64s", "keys_floats", "keys_tensor"]);
    let values = list(["", "values_int64s", "values_floats", "values_tensor"]);
    let (Some(keys), Some(values)) = (keys, values) else { return Err(Error::input("it has no keys or no values")) };
    if keys.len() != values.len() {
        return Err(Error::input(format!("{} keys and {} values", keys.len(), values.len())));
    }
    let of_tensor = attribute(node, "values_tensor").and_then(|a| a.t.as_ref()).map(|tensor| tensor.data_type);
    let whole = attribute(node, "values_int64s").is_some_and(|a| !a.ints.is_empty())
        || of_tensor.is_some_and(|kind| [proto::element::INT64, proto::element::INT32].contains(&kind));
    let given = attribute(node, "default_tensor").and_then(|a| a.t.as_ref()).and_then(|t| constant(t, words).ok());
    let given =
        given.and_then(|t| t.flatten_all().ok()?.to_dtype(DType::F64).ok()?.to_vec1::<f64>().ok()?.first().copied());
    let default = match (given, whole) {
        (Some(default), _) => default,
        (None, true) => attribute(node, "default_int64").map_or(-1.0, |a| a.i as f64),
        (None, false) => attribute(node, "default_float").map_or(-0.0, |a| f64::from(a.f)),
    };
    let map = keys.into_iter().map(key).zip(values).collect();
    Ok(Made::Labels(map, default, if whole { DType::I64 } else { DType::F32 }))
}

pub fn encode_labels(x: &Tensor, map: &HashMap<u64, f64>, default: f64, dtype: DType) -> candle_core::Result<Tensor> {
    let values = x.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let encoded: Vec<f64> = values.into_iter().map(|value| map.get(&key(value)).copied().unwrap_or(default)).collect();
    Tensor::from_vec(encoded, x.shape(), &Device::Cpu)?.to_dtype(dtype)
}

pub fn categories(node: &proto::Node, words: &Words) -> Result<Made> {
    let strings = attribute(node, "cats_strings").map(|a| a.strings.as_slice()).unwrap_or_default();
    let ints = attribute(node, "cats_int64s").map(|a| a.ints.as_slice()).unwrap_or_default();
    let mut found: Vec<f64> = strings.iter().filter_map(|word| words.get(word).map(|at| *at as f64)).collect();
    found.extend(ints.iter().map(|value| *value as f64));
    if found.is_empty() {
        return Err(Error::input("it has no categories"));
    }
    let zeros = attribute(node, "zeros").is_none_or(|a| a.i != 0);
    Ok(Made::Categories(found, zeros))
}

/// `[rows, columns]` to `[rows, columns, categories]`; what is no category is zeros.
pub fn one_hot(x: &Tensor, categories: &[f64]) -> candle_core::Result<Tensor> {
    let values = x.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    if values.len().saturating_mul(categories.len()) > MOST_ELEMENTS {
        candle_core::bail!("{} categories make too many columns", categories.len());
    }
    let places: HashMap<u64, usize> = categories.iter().map(|value| key(*value)).zip(0..).collect();
    let mut out = vec![0.0f32; values.len() * categories.len()];
    for (cells, value) in out.chunks_exact_mut(categories.len()).zip(values) {
        if let Some(place) = places.get(&key(value)).filter(|_| !value.is_nan()) {
            cells[*place] = 1.0;
        }
    }
    let mut shape = x.dims().to_vec();
    shape.push(categories.len());
    Tensor::from_vec(out, shape, &Device::Cpu)
}
