//! The kinds of models that a bundle may hold, by the word that model.toml has for each.

use std::fmt;

use super::foreign::Format;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    /// One layer, as safetensors.
    Linear,
    /// Layers with a function between them, as safetensors.
    Mlp,
    /// A file that another library saved.
    Foreign(Format),
}

impl ModelKind {
    pub fn all() -> Vec<ModelKind> {
        let own = [ModelKind::Linear, ModelKind::Mlp];
        own.into_iter().chain(Format::ALL.map(ModelKind::Foreign)).collect()
    }

    pub fn name(self) -> &'static str {
        match self {
            ModelKind::Linear => "linear",
            ModelKind::Mlp => "mlp",
            ModelKind::Foreign(format) => format.kind(),
        }
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
