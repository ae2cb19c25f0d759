//! Statistics: distances of distributions, tests, intervals. Pure functions of numbers, in f64; each is tested against the
//! figures of scipy, numpy or a sum by hand.

mod distance;
mod inference;
mod special;

pub use distance::{Distances, hellinger, jensen_shannon, kolmogorov_smirnov, kullback_leibler, psi, wasserstein};
pub use inference::{
    Contingency, benjamini_hochberg, chi_square, cohen_h, ks_p, mad, median, psi_critical, psi_p, two_proportions,
    wilson,
};
pub use special::{chi_square_quantile, chi_square_sf, kolmogorov_sf, ln_gamma, normal_quantile, normal_sf};
