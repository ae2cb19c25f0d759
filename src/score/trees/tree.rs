//! Trees as every importer gives them: nodes, tests, leaves; and the check that every walk ends in a leaf.

/// A node of a tree.
#[derive(Clone, Debug)]
pub enum Node {
    /// The number of the leaf, as the library that trained the model counts.
    Leaf(u32),
    Split(Split),
}

impl Node {
    pub fn split(&self) -> Option<&Split> {
        if let Node::Split(split) = self { Some(split) } else { None }
    }
}

/// A value that passes the test goes left; a missing one goes where `default_left` says.
#[derive(Clone, Debug)]
pub struct Split {
    pub feature: u32,
    pub test: Test,
    pub default_left: bool,
    pub left: u32,
    pub right: u32,
}

#[derive(Clone, Debug)]
pub enum Test {
    /// `x < threshold`.
    Below(f32),
    In(Set),
}

impl Test {
    /// In one of the ranges `[a, b)`; `None` when an end is NaN. What is in no range never passes.
    pub fn within(ranges: Vec<(f32, f32)>) -> Option<Test> {
        let set = Set::of(ranges)?;
        Some(if set.ends().is_empty() { Test::Below(f32::NEG_INFINITY) } else { Test::In(set) })
    }

    /// `x < threshold`, for an `x` of 32 bits.
    pub fn below(threshold: f64) -> Test {
        let near = threshold as f32;
        Test::Below(if f64::from(near) < threshold { near.next_up() } else { near })
    }

    /// `x <= threshold`, for an `x` of 32 bits.
    pub fn at_most(threshold: f64) -> Test {
        let near = threshold as f32;
        let below = if f64::from(near) > threshold { near.next_down() } else { near };
        Test::Below(below.next_up())
    }
}

/// A set of values: half-open ranges, as their ends in ascending order. NaN is in none.
#[derive(Clone, Debug, PartialEq)]
pub struct Set(std::sync::Arc<[f32]>);

/// Ends are never NaN.
impl Eq for Set {}

impl std::hash::Hash for Set {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        // Both zeros are equal.
        self.0.iter().for_each(|end| (end + 0.0).to_bits().hash(state));
    }
}

impl Set {
    /// The ranges `[a, b)`; those that touch or overlap are joined. `None` when an end is NaN.
    pub fn of(mut ranges: Vec<(f32, f32)>) -> Option<Set> {
        if ranges.iter().any(|(a, b)| a.is_nan() || b.is_nan()) {
            return None;
        }
        ranges.retain(|(a, b)| a < b);
        ranges.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut ends: Vec<f32> = Vec::new();
        for (start, end) in ranges {
            match ends.last_mut() {
                Some(last) if *last >= start => *last = last.max(end),
                _ => ends.extend([start, end]),
            }
        }
        Some(Set(ends.into()))
    }

    pub fn ends(&self) -> &[f32] {
        &self.0
    }

    pub fn holds(&self, value: f32) -> bool {
        self.0.partition_point(|end| *end <= value) % 2 == 1
    }
}

/// Nodes in one array, the root first, and what its leaves add to which output.
#[derive(Clone, Debug)]
pub struct Tree {
    pub nodes: Vec<Node>,
    pub outputs: Vec<Leaves>,
}

#[derive(Clone, Debug)]
pub struct Leaves {
    pub group: u32,
    /// By the number of the leaf.
    pub values: Vec<f64>,
}

/// What leaves are summed in: XGBoost uses 32 bits, LightGBM 64.
pub trait Sum: Copy + Default + std::ops::AddAssign + Send + Sync + std::fmt::Debug + 'static {
    const IS_SINGLE: bool;
    fn of(value: f64) -> Self;
    fn bits(self) -> u64;
    /// The same values, when they have 32 bits.
    fn singles(values: &[Self]) -> Option<&[f32]>;
    fn singles_mut(values: &mut [Self]) -> Option<&mut [f32]>;
}

impl Sum for f32 {
    const IS_SINGLE: bool = true;
    fn of(value: f64) -> f32 {
        value as f32
    }
    fn bits(self) -> u64 {
        self.to_bits().into()
    }
    fn singles(values: &[f32]) -> Option<&[f32]> {
        Some(values)
    }
    fn singles_mut(values: &mut [f32]) -> Option<&mut [f32]> {
        Some(values)
    }
}

impl Sum for f64 {
    const IS_SINGLE: bool = false;
    fn of(value: f64) -> f64 {
        value
    }
    fn bits(self) -> u64 {
        self.to_bits()
    }
    fn singles(_: &[f64]) -> Option<&[f32]> {
        None
    }
    fn singles_mut(_: &mut [f64]) -> Option<&mut [f32]> {
        None
    }
}

/// Which nodes some walk reaches.
pub fn check(tree: &Tree, width: usize, groups: usize) -> Result<Vec<bool>, String> {
    if tree.nodes.is_empty() {
        return Err("it has no nodes".into());
    }
    if let Some(output) = tree.outputs.iter().find(|output| output.group as usize >= groups) {
        return Err(format!("it belongs to output {} of {groups}", output.group));
    }
    let mut seen = vec![false; tree.nodes.len()];
    let mut open = vec![0usize];
    while let Some(at) = open.pop() {
        if std::mem::replace(&mut seen[at], true) {
            return Err(format!("node {at} is reached twice"));
        }
        let split = match &tree.nodes[at] {
            Node::Split(split) => split,
            Node::Leaf(number) => {
                for output in &tree.outputs {
                    match output.values.get(*number as usize) {
                        Some(value) if value.is_finite() => {}
                        Some(value) => return Err(format!("leaf {at} is {value}")),
                        None => return Err(format!("node {at} is leaf {number} of {}", output.values.len())),
                    }
                }
                continue;
            }
        };
        if matches!(split.test, Test::Below(threshold) if threshold.is_nan()) {
            return Err(format!("the threshold of node {at} is NaN"));
        }
        if split.feature as usize >= width {
            return Err(format!("node {at} splits on feature {} of {width}", split.feature));
        }
        for child in [split.left, split.right] {
            if child as usize >= tree.nodes.len() {
                return Err(format!("node {at} has the child {child} of {}", tree.nodes.len()));
            }
            open.push(child as usize);
        }
    }
    Ok(seen)
}
