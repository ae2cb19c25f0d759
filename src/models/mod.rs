//! The life of model packages: how they are named, which version an alias means and since when, and those that are open.

pub mod cache;
pub mod promotions;
pub mod reference;
mod score_plan;

pub use cache::ModelCache;
pub use reference::{ModelId, ModelRef, Version};
pub use score_plan::{ScorePlan, Scored, Step};
