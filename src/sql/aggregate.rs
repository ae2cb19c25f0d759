//! Which aggregate or window function a call is, once its name and its types are known.

use super::kernels::group::Group;
use super::kernels::window::Over;
use super::types::Ty;

/// An aggregate and the type of its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agg {
    pub kind: AggKind,
    pub ty: Ty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggKind {
    CountRows,
    Count,
    Sum,
    Avg,
    Min,
    Max,
    Spread {
        root: bool,
        sample: bool,
    },
    /// One of ours, over the rows of a group.
    Group(Group),
}

impl Agg {
    /// What it is as a window function.
    pub fn over(self, distinct: bool) -> Over {
        match self.kind {
            AggKind::CountRows => Over::CountRows,
            AggKind::Count if distinct => Over::CountDistinct,
            AggKind::Count => Over::Count,
            AggKind::Sum => Over::Sum,
            AggKind::Avg => Over::Avg,
            AggKind::Min => Over::Min,
            AggKind::Max => Over::Max,
            AggKind::Spread { root, sample } => Over::Spread { root, sample },
            AggKind::Group(group) => Over::Group(group),
        }
    }

    /// Of no rows at all.
    pub fn of_none_is_zero(self) -> bool {
        matches!(
            self.kind,
            AggKind::CountRows | AggKind::Count | AggKind::Group(Group::RegrCount | Group::DistinctRows { .. })
        )
    }
}

/// A window function and the type of its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Win {
    pub over: Over,
    pub ty: Ty,
}
