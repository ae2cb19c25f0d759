//! The functions from margin to output.

use candle_core::Tensor;

/// The function from margin to output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Identity,
    Sigmoid,
    Softmax,
    Exp,
    /// 1 above zero, else 0.
    Step,
    /// The number of the largest margin, as the only output.
    ArgMax,
    /// `ln(1 + exp(x))`
    Softplus,
    /// `x * |x|`
    SignedSquare,
}

impl Link {
    /// Outputs that so many margins give.
    pub fn outputs(self, margins: usize) -> usize {
        if self == Link::ArgMax { 1 } else { margins }
    }
}

/// Margins `[outputs, rows]` to outputs of the same shape.
pub fn apply_link(margins: &Tensor, link: Link) -> candle_core::Result<Tensor> {
    match link {
        Link::Identity => Ok(margins.clone()),
        Link::Exp => margins.exp(),
        Link::Sigmoid => (margins.neg()?.exp()? + 1.0)?.recip(),
        Link::Step => margins.gt(&margins.zeros_like()?)?.to_dtype(margins.dtype()),
        Link::ArgMax => margins.argmax_keepdim(0)?.to_dtype(margins.dtype()),
        Link::Softplus => (margins.exp()? + 1.0)?.log(),
        Link::SignedSquare => margins * margins.abs()?,
        Link::Softmax => {
            let shifted = margins.broadcast_sub(&margins.max_keepdim(0)?)?.exp()?;
            shifted.broadcast_div(&shifted.sum_keepdim(0)?)
        }
    }
}
