//! Files that can run any code when they are opened.

use std::path::Path;

use crate::error::Error;

/// Pickles, and the archives that hold them, are refused.
pub fn pickled(bytes: &[u8], path: &Path) -> Option<Error> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let kind = match bytes {
        [0x80, 2..=5, ..] => "a Python pickle",
        [b'P', b'K', 3, 4, ..] => "a zip archive, as PyTorch writes pickles",
        _ if matches!(extension, "pkl" | "pickle" | "joblib" | "pt" | "pth") => "named as a Python pickle",
        _ => return None,
    };
    let what =
        format!("{} is {kind}, which can run any code when it is opened; Daymill never opens one", path.display());
    Some(Error::input(what).hint(
        "export the weights: safetensors for linear models and networks, save_model(\"model.ubj\") for XGBoost, \
         save_model(\"model.txt\") for LightGBM",
    ))
}
