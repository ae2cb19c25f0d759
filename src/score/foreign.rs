//! Models as other libraries save them: which format a file has, and who reads it.

use super::imported::ImportedModel;
use super::onnx;
use super::pickle::pickled;
use super::trees::{catboost, lightgbm, xgboost};
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Xgboost,
    Lightgbm,
    Catboost,
    Onnx,
}

impl Format {
    pub const ALL: [Format; 4] = [Format::Xgboost, Format::Lightgbm, Format::Catboost, Format::Onnx];

    /// By the word that model.toml has for it.
    pub fn of_kind(kind: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.kind() == kind)
    }

    pub fn kind(self) -> &'static str {
        match self {
            Format::Xgboost => "xgboost",
            Format::Lightgbm => "lightgbm",
            Format::Catboost => "catboost",
            Format::Onnx => "onnx",
        }
    }

    pub fn file_name(self, bytes: &[u8]) -> &'static str {
        match self {
            Format::Xgboost if bytes.get(1).is_some_and(|b| matches!(b, b'"' | b' ' | b'\n')) => "model.json",
            Format::Xgboost => "model.ubj",
            Format::Lightgbm => "model.txt",
            Format::Catboost => "model.json",
            Format::Onnx => "model.onnx",
        }
    }

    /// By how the file begins.
    pub fn guess(bytes: &[u8]) -> Result<Format> {
        let has = |word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        let refuse = |what: &str, hint: &str| Err(Error::input(what.to_owned()).hint(hint.to_owned()));
        match bytes {
            [b'{', ..] if has("\"oblivious_trees\"") || has("\"features_info\"") => Ok(Format::Catboost),
            [b'{', ..] if has("learner") => Ok(Format::Xgboost),
            [b't', b'r', b'e', b'e', b'\n' | b'\r', ..] => Ok(Format::Lightgbm),
            [b'b', b'i', b'n', b'f', ..] => refuse(
                "XGBoost's old binary format, which the library itself no longer writes",
                "load it in the version that wrote it and save_model(\"model.ubj\")",
            ),
            // The version of the format, then the producer or the operators.
            [0x08, 1..=32, ..] => Ok(Format::Onnx),
            [b'C', b'B', b'M', ..] => {
                refuse("CatBoost's binary format", "save it with save_model(\"model.json\", format=\"json\")")
            }
            _ => refuse(
                "no model format that Daymill knows",
                "XGBoost's save_model (.ubj or .json), LightGBM's save_model (.txt), CatBoost's JSON, ONNX",
            ),
        }
    }

    /// Reads the model; `iterations` of it, or all.
    pub fn read(self, bytes: &[u8], iterations: Option<usize>) -> Result<ImportedModel> {
        match self {
            Format::Xgboost => xgboost::read(bytes, iterations),
            Format::Lightgbm => lightgbm::read(bytes, iterations),
            Format::Catboost => catboost::read(bytes, iterations),
            Format::Onnx => onnx::read(bytes, iterations),
        }
    }
}

/// A file that may be a model of any kind: pickles are refused by name.
pub fn bytes_of(path: &std::path::Path) -> Result<Vec<u8>> {
    let bytes = crate::plain_file::read(path, crate::plain_file::MODEL)?;
    match pickled(&bytes, path) {
        Some(error) => Err(error),
        None => Ok(bytes),
    }
}
