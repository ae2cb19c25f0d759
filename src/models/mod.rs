//! The life of model packages: bundles and how they are made, how they are named, which version an alias means and since when, and those that are open.

mod batch;
pub mod bundle;
pub mod cache;
pub mod diagnose;
pub mod import;
pub mod promotions;
pub mod reference;
mod score_plan;
pub mod training;

pub use batch::Scores;
pub use bundle::Bundle;
pub use cache::ModelCache;
pub use reference::{ModelId, ModelRef, Version};
pub use score_plan::{ScorePlan, Scored, Step};
