//! A model as another library saved it, and what can be learned from its file besides.

use super::Model;

/// A model read from another library's file.
#[derive(Debug)]
pub struct ImportedModel {
    pub model: Model,
    pub facts: ModelMetadata,
}

/// What the file says beside the model. The lists follow the order of the features, and may be empty.
#[derive(Clone, Debug, Default)]
pub struct ModelMetadata {
    pub names: Vec<String>,
    pub categorical: Vec<bool>,
    /// The words of a categorical feature, by code.
    pub vocabularies: Vec<Option<Vec<String>>>,
    /// The smallest and the largest value seen in training.
    pub ranges: Vec<Option<(f64, f64)>>,
    /// Words that are not ASCII may be others than those of training.
    pub doubtful_words: bool,
    /// Words outside the vocabularies have a meaning to the model.
    pub unknown_words: bool,
    /// What the splits on each feature gained in training.
    pub gains: Vec<f64>,
    pub objective: String,
    /// Boosting rounds, or trees of a forest.
    pub iterations: usize,
    /// The round after which training got worse, counted from 0.
    pub best_iteration: Option<usize>,
}

impl ModelMetadata {
    /// Names that a library made up because it was given none.
    pub fn forget_made_up_names(&mut self, prefix: &str) {
        if self.names.iter().enumerate().all(|(at, name)| *name == format!("{prefix}{at}")) {
            self.names.clear();
        }
    }
}
