//! Linear models and multilayer perceptrons, from safetensors: `weight` and `bias`, or `layers.N.weight` and
//! `layers.N.bias` with a rectifier between layers; optional `mean` and `scale` standardize the inputs first.
//!
//! Everything is feature-major, so a layer is one `[out, in] x [in, tile]` multiplication. The tile is always full:
//! the result of a multiplication depends on its shape in the last bits, so the shape never changes.

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;

use super::contract::Features;
use super::{Link, apply_link};
use crate::error::{Error, Result};

/// Rows of one multiplication.
const TILE: usize = 512;
/// A network deeper than this is not a table model.
const MAX_LAYERS: usize = 64;

#[derive(Debug)]
pub struct Dense {
    /// `[width, 1]` each.
    standardize: Option<(Tensor, Tensor)>,
    /// Weight `[out, in]` and bias `[out, 1]`.
    layers: Vec<(Tensor, Tensor)>,
    link: Link,
    width: usize,
    outputs: usize,
    /// A missing input counts as zero, as in XGBoost's linear models; otherwise there must be none.
    missing_is_zero: bool,
}

impl Dense {
    /// One layer: weights `[outputs, width]`, one bias for each output.
    pub fn linear(weights: Vec<f32>, bias: Vec<f32>, width: usize, link: Link, missing_is_zero: bool) -> Result<Dense> {
        if weights.iter().chain(&bias).any(|value| !value.is_finite()) {
            return Err(Error::input("a weight is not finite"));
        }
        let outputs = bias.len();
        let tensor = |values: Vec<f32>, shape: (usize, usize)| {
            Tensor::from_vec(values, shape, &Device::Cpu).map_err(|e| Error::input("the weights do not fit").cause(e))
        };
        let layer = (tensor(weights, (outputs, width))?, tensor(bias, (outputs, 1))?);
        Ok(Dense { standardize: None, layers: vec![layer], link, width, outputs, missing_is_zero })
    }

    pub fn takes_missing(&self) -> bool {
        self.missing_is_zero
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn outputs(&self) -> usize {
        self.link.outputs(self.outputs)
    }

    /// Reads the tensors. Names, shapes, types and values are all checked: safetensors itself accepts NaN weights and
    /// a name that stands twice.
    pub fn read(bytes: &[u8], deep: bool, link: Link) -> Result<Dense> {
        refuse_duplicate_names(bytes)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| Error::input("not a safetensors file").cause(e))?;
        let mut known = Vec::new();
        let mut tensor = |name: String| -> Result<Option<Tensor>> {
            let Ok(view) = tensors.tensor(&name) else { return Ok(None) };
            if view.dtype() != safetensors::Dtype::F32 {
                return Err(Error::input(format!("the tensor {name:?} is {:?}, not F32", view.dtype())));
            }
            let values: Vec<f32> =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            if values.iter().any(|v| !v.is_finite()) {
                return Err(Error::input(format!("the tensor {name:?} holds a value that is not finite")));
            }
            let tensor = Tensor::from_vec(values, view.shape(), &Device::Cpu)
                .map_err(|e| Error::input(format!("the tensor {name:?} is damaged")).cause(e))?;
            known.push(name);
            Ok(Some(tensor))
        };
        let mut layers: Vec<(Tensor, Tensor)> = Vec::new();
        for index in 0..MAX_LAYERS {
            let prefix = if deep { format!("layers.{index}.") } else { String::new() };
            let (weight, bias) = (tensor(format!("{prefix}weight"))?, tensor(format!("{prefix}bias"))?);
            match (weight, bias) {
                (Some(weight), Some(bias)) => layers.push(layer(&prefix, &weight, &bias, layers.last())?),
                (None, None) if index > 0 => break,
                _ => {
                    return Err(Error::input(format!(
                        "the tensors {prefix}weight and {prefix}bias must both be there"
                    )));
                }
            }
            if !deep {
                break;
            }
        }
        let first = layers.first().ok_or_else(|| Error::input("there is no layer"))?;
        let width = first.0.dims()[1];
        let outputs = layers.last().map_or(0, |(weight, _)| weight.dims()[0]);
        let standardize = match (tensor("mean".into())?, tensor("scale".into())?) {
            (Some(_), Some(scale)) if scale.to_vec1::<f32>().is_ok_and(|s| s.contains(&0.0)) => {
                return Err(Error::input("the tensor scale holds a zero, and inputs are divided by it"));
            }
            (Some(mean), Some(scale)) => Some((column(&mean, width, "mean")?, column(&scale, width, "scale")?)),
            (None, None) => None,
            _ => return Err(Error::input("the tensors mean and scale must both be there, or neither")),
        };
        if let Some(extra) = tensors.names().into_iter().find(|name| !known.iter().any(|k| k == name)) {
            return Err(Error::input(format!("the tensor {extra:?} has no place in this kind of model")));
        }
        if link == Link::Softmax && outputs < 2 {
            return Err(Error::input("a softmax needs at least two outputs"));
        }
        Ok(Dense { standardize, layers, link, width, outputs, missing_is_zero: false })
    }

    pub fn score(&self, features: &Features) -> candle_core::Result<Vec<Vec<f32>>> {
        let rows = features.rows;
        let mut outputs = vec![Vec::with_capacity(rows); self.outputs];
        for start in (0..rows).step_by(TILE) {
            let n = TILE.min(rows - start);
            let mut tile = vec![0.0f32; self.width * TILE];
            for (padded, column) in tile.chunks_exact_mut(TILE).zip(features.values.chunks_exact(rows)) {
                padded[..n].copy_from_slice(&column[start..start + n]);
                if self.missing_is_zero {
                    padded.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
                }
            }
            let result = self.tile(&Tensor::from_vec(tile, (self.width, TILE), &Device::Cpu)?)?;
            for (output, values) in outputs.iter_mut().zip(result.to_vec2::<f32>()?) {
                output.extend_from_slice(&values[..n]);
            }
        }
        Ok(outputs)
    }

    /// A tile in which anything overflowed gives NaN throughout: a rectifier or a link would make a confident score
    /// of it.
    fn tile(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = match &self.standardize {
            Some((mean, scale)) => inputs.broadcast_sub(mean)?.broadcast_div(scale)?,
            None => inputs.clone(),
        };
        for (index, (weight, bias)) in self.layers.iter().enumerate() {
            x = weight.matmul(&x)?.broadcast_add(bias)?;
            if !x.sum_all()?.to_scalar::<f32>()?.is_finite() {
                return Tensor::full(f32::NAN, (self.outputs, TILE), &Device::Cpu);
            }
            if index + 1 < self.layers.len() {
                x = x.relu()?;
            }
        }
        apply_link(&x, self.link)?.to_dtype(DType::F32)
    }
}

fn layer(prefix: &str, weight: &Tensor, bias: &Tensor, before: Option<&(Tensor, Tensor)>) -> Result<(Tensor, Tensor)> {
    let wrong = |what: String| Error::input(format!("the tensor {prefix}{what}"));
    let &[out, width] = weight.dims() else {
        return Err(wrong(format!("weight has the shape {:?}, not [outputs, inputs]", weight.dims())));
    };
    if let Some((previous, _)) = before
        && previous.dims()[0] != width
    {
        return Err(wrong(format!("weight takes {width} inputs, but the layer before gives {}", previous.dims()[0])));
    }
    if out == 0 || width == 0 {
        return Err(wrong("weight is empty".into()));
    }
    Ok((weight.clone(), column(bias, out, &format!("{prefix}bias"))?))
}

fn column(tensor: &Tensor, length: usize, name: &str) -> Result<Tensor> {
    if tensor.elem_count() != length || tensor.dims().len() != 1 {
        return Err(Error::input(format!("the tensor {name} has the shape {:?}, not [{length}]", tensor.dims())));
    }
    tensor.reshape((length, 1)).map_err(|e| Error::input(format!("the tensor {name} is damaged")).cause(e))
}

/// The header is JSON, of which the parser keeps the last of two equal names.
fn refuse_duplicate_names(bytes: &[u8]) -> Result<()> {
    struct Names;
    impl<'de> serde::de::Visitor<'de> for Names {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the header of a safetensors file")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> std::result::Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some((name, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    let length = bytes.get(..8).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap_or_default()) as usize);
    let header = bytes.get(8..8usize.saturating_add(length)).unwrap_or_default();
    let mut names = serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_slice(header), Names)
        .map_err(|e| Error::input("the safetensors header is damaged").cause(e))?;
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::input(format!("the tensor {:?} stands twice in the file", pair[0]))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tensor file by hand: names, shapes, values.
    fn file(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
        let (mut header, mut data) = (Vec::new(), Vec::new());
        for (name, shape, values) in tensors {
            let start = data.len();
            values.iter().for_each(|v| data.extend(v.to_le_bytes()));
            header.push(format!(
                r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{}]}}"#,
                data.len()
            ));
        }
        let header = format!("{{{}}}", header.join(","));
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
    }

    fn network() -> Dense {
        let (width, hidden) = (37, 24);
        let wave = |n: usize, phase: f32| (0..n).map(|i| (i as f32 * 0.7 + phase).sin()).collect::<Vec<f32>>();
        let bytes = file(&[
            ("layers.0.weight", &[hidden, width], &wave(hidden * width, 0.1)),
            ("layers.0.bias", &[hidden], &wave(hidden, 0.2)),
            ("layers.1.weight", &[1, hidden], &wave(hidden, 0.3)),
            ("layers.1.bias", &[1], &[0.05]),
        ]);
        Dense::read(&bytes, true, Link::Sigmoid).unwrap()
    }

    /// Feature-major rows picked from an endless sequence.
    fn rows(picked: &[usize]) -> Features {
        let values =
            (0..37).flat_map(|i| picked.iter().map(move |r| ((i * 31 + r * 17) as f32 * 0.013).cos())).collect();
        Features { rows: picked.len(), values }
    }

    #[test]
    fn a_row_scores_the_same_in_any_company() {
        let network = network();
        let all: Vec<usize> = (0..1300).collect();
        let whole = network.score(&rows(&all)).unwrap().remove(0);
        for size in [1, 7, 256, 511, 512, 513] {
            for chunk in all.chunks(size).take(4) {
                let part = network.score(&rows(chunk)).unwrap().remove(0);
                assert_eq!(part, whole[chunk[0]..chunk[0] + chunk.len()], "batches of {size}");
            }
        }
        let reversed: Vec<usize> = all.iter().rev().copied().collect();
        let mut backwards = network.score(&rows(&reversed)).unwrap().remove(0);
        backwards.reverse();
        assert_eq!(backwards, whole);
    }

    #[test]
    fn an_overflow_is_not_a_score() {
        let mut features = rows(&[0, 1, 2]);
        features.values.iter_mut().step_by(3).for_each(|v| *v = 3e38);
        assert!(network().score(&features).unwrap()[0].iter().all(|score| score.is_nan()));
    }

    #[test]
    fn damaged_files_are_refused_by_name() {
        let good: (&str, &[usize], &[f32]) = ("weight", &[1, 2], &[1.0, 2.0]);
        let bias: (&str, &[usize], &[f32]) = ("bias", &[1], &[0.0]);
        let read = |tensors: &[(&str, &[usize], &[f32])]| {
            Dense::read(&file(tensors), false, Link::Sigmoid).map(|_| ()).unwrap_err().to_string()
        };
        assert!(Dense::read(&file(&[good, bias]), false, Link::Sigmoid).is_ok());
        assert!(read(&[good]).contains("bias must both"));
        assert!(read(&[good, bias, bias]).contains("twice"));
        assert!(read(&[good, ("bias", &[1], &[f32::NAN])]).contains("not finite"));
        assert!(read(&[good, ("bias", &[2], &[0.0, 0.0])]).contains("shape"));
        assert!(read(&[good, bias, ("extra", &[1], &[0.0])]).contains("extra"));
        let bytes = file(&[good, bias]);
        for cut in 0..bytes.len() {
            assert!(Dense::read(&bytes[..cut], false, Link::Sigmoid).is_err(), "cut at {cut}");
        }
    }
}
