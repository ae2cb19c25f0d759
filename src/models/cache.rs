//! Models that are open: each version is opened, and asked its oracle, once per process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::ModelRef;
use crate::error::{Error, Result};
use crate::models::Bundle;

/// By the folder of the version.
#[derive(Debug, Default)]
pub struct ModelCache {
    open: Mutex<HashMap<PathBuf, Arc<Bundle>>>,
}

impl ModelCache {
    /// The model of a reference, by what an alias meant at a time; from memory when that version was opened before.
    pub fn open(&self, root: &Path, reference: &ModelRef, at: DateTime<Utc>) -> Result<Arc<Bundle>> {
        let package = package(root, reference, at)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bundle) = open.get(&package) {
            return Ok(bundle.clone());
        }
        let bundle = Arc::new(Bundle::open(&package)?);
        open.insert(package, bundle.clone());
        Ok(bundle)
    }
}

/// Opens a model now, without keeping it.
pub fn find(root: &Path, reference: &ModelRef) -> Result<Bundle> {
    Bundle::open(&package(root, reference, Utc::now())?)
}

fn package(root: &Path, reference: &ModelRef, at: DateTime<Utc>) -> Result<PathBuf> {
    reference.at(root, at)?.package(root).ok_or_else(|| Error::defect("an alias was not resolved"))
}
