//! Everything about Postgres that is not one stage's own: connecting, what an error means, the binary COPY codec.

pub mod classify;
mod connect;
pub mod decode;
pub mod liveness;
mod nodelay;
pub mod tuples;

pub use connect::connect;
