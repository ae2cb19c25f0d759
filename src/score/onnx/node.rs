//! What a node of a graph says: its attributes and constants, within limits.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use super::proto::{self, element};
use crate::error::{Error, Result};

/// More than any input of a table or constant of a graph.
pub const MOST_FEATURES: usize = 1 << 16;
pub const MOST_OUTPUTS: usize = 1 << 12;
pub const MOST_NODES: usize = 1 << 14;
pub const MOST_ELEMENTS: usize = 1 << 26;

/// An attribute of a node.
pub fn attribute<'a>(node: &'a proto::Node, name: &str) -> Option<&'a proto::Attribute> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

pub fn text<'a>(node: &'a proto::Node, name: &str) -> &'a str {
    attribute(node, name).and_then(|a| std::str::from_utf8(&a.s).ok()).unwrap_or_default()
}

/// A tensor that the graph holds. Words become their numbers.
pub fn constant(tensor: &proto::Tensor, words: &HashMap<Vec<u8>, usize>) -> Result<Tensor> {
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
