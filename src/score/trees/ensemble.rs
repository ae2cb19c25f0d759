//! One form of a tree ensemble, checked once, and the Candle operation that evaluates it.

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor};

use super::kernel::Kernel;
use super::tree::{Node, Sum, Test, Tree, check};
use crate::error::{Error, Result};
use crate::score::contract::Features;
use crate::score::{Link, apply_link};

/// What an importer hands over.
#[derive(Debug)]
pub struct Parts {
    pub trees: Vec<Tree>,
    /// Base margin of each output.
    pub base: Vec<f64>,
    /// Features that the model takes.
    pub width: usize,
    /// Multiplies every sum before the link.
    pub scale: f64,
    pub link: Link,
    /// Sums have 64 bits.
    pub double: bool,
}

#[derive(Debug)]
pub struct Trees {
    ensemble: std::sync::Arc<Ensemble>,
    pub parts: Parts,
}

#[derive(Debug)]
struct Ensemble {
    kernel: Sums,
    width: usize,
    outputs: usize,
}

/// The kernel and the base margins.
#[derive(Debug)]
enum Sums {
    Single(Kernel<f32>, Vec<f32>),
    Double(Kernel<f64>, Vec<f64>),
}

impl Trees {
    /// Checks that every walk ends in a leaf: children in range, each node reached once, features that exist,
    /// thresholds that compare, values for every leaf.
    pub fn new(mut parts: Parts) -> Result<Trees> {
        let (width, outputs) = (parts.width, parts.base.len());
        for (index, tree) in parts.trees.iter_mut().enumerate() {
            let seen = check(tree, width, outputs).map_err(|what| Error::input(format!("tree {index}: {what}")))?;
            // Nodes that no walk reaches were not checked, and nothing may be learned from them.
            for (node, _) in tree.nodes.iter_mut().zip(seen).filter(|(_, seen)| !seen) {
                *node = Node::Leaf(0);
            }
        }
        if let Some(base) = parts.base.iter().find(|base| !base.is_finite()) {
            return Err(Error::input(format!("the base margin is {base}")));
        }
        let kernel = match parts.double {
            true => Sums::Double(Kernel::new(&parts.trees, width), parts.base.clone()),
            false => {
                Sums::Single(Kernel::new(&parts.trees, width), parts.base.iter().map(|base| *base as f32).collect())
            }
        };
        Ok(Trees { ensemble: std::sync::Arc::new(Ensemble { kernel, width, outputs }), parts })
    }

    pub fn width(&self) -> usize {
        self.parts.width
    }

    pub fn outputs(&self) -> usize {
        self.parts.link.outputs(self.parts.base.len())
    }

    /// Sums of leaves and base margins, scaled, before the link: `[groups, rows]`.
    pub fn margins(&self, features: &Features) -> candle_core::Result<Tensor> {
        self.sums(&Tensor::from_slice(&features.values, (self.width(), features.rows), &Device::Cpu)?)
    }

    /// The same of inputs `[width, rows]`.
    pub fn sums(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        let sums = inputs.apply_op1_arc(std::sync::Arc::new(Box::new(Evaluate(self.ensemble.clone()))))?;
        if self.parts.scale == 1.0 { Ok(sums) } else { sums * self.parts.scale }
    }

    pub fn score(&self, features: &Features) -> candle_core::Result<Vec<Vec<f32>>> {
        apply_link(&self.margins(features)?, self.parts.link)?.to_dtype(DType::F32)?.to_vec2::<f32>()
    }

    /// The number of the leaf in which each row ends, tree by tree, by the plain walk.
    pub fn leaves(&self, features: &Features) -> Vec<Vec<u32>> {
        super::walk::leaves(&self.parts.trees, self.width(), features.rows, &features.values)
    }

    /// The features and the values at which a tree decides otherwise.
    pub fn cuts(&self) -> impl Iterator<Item = (usize, f32)> {
        let splits = self.parts.trees.iter().flat_map(|tree| &tree.nodes).filter_map(Node::split);
        splits.flat_map(|split| {
            let ends = match &split.test {
                Test::Below(threshold) => std::slice::from_ref(threshold),
                Test::In(set) => set.ends(),
            };
            ends.iter().map(|end| (split.feature as usize, *end))
        })
    }

    /// How trees are evaluated on this processor, in words.
    pub fn kernel(&self) -> String {
        match &self.ensemble.kernel {
            Sums::Single(kernel, _) => kernel.name(),
            Sums::Double(kernel, _) => format!("{}, summed in 64 bits", kernel.name()),
        }
    }
}

/// `[width, rows]` -> margins `[groups, rows]`, summed in the order of the trees.
struct Evaluate(std::sync::Arc<Ensemble>);

impl CustomOp1 for Evaluate {
    fn name(&self) -> &'static str {
        "trees"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, rows) = layout.shape().dims2()?;
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("the features of trees must be contiguous");
        };
        let values = &storage.as_slice::<f32>()?[start..end];
        let Ensemble { kernel, width, outputs } = &*self.0;
        let margins = match kernel {
            Sums::Single(kernel, base) => CpuStorage::F32(sums(kernel, base, *width, rows, values)),
            Sums::Double(kernel, base) => CpuStorage::F64(sums(kernel, base, *width, rows, values)),
        };
        Ok((margins, Shape::from((*outputs, rows))))
    }
}

fn sums<V: Sum>(kernel: &Kernel<V>, base: &[V], width: usize, rows: usize, values: &[f32]) -> Vec<V> {
    let mut margins: Vec<V> = base.iter().flat_map(|base| std::iter::repeat_n(*base, rows)).collect();
    kernel.add(width, rows, values, &mut margins);
    margins
}

#[cfg(test)]
mod tests {
    use super::super::{Leaves, Set, Split};
    use super::*;

    fn split(feature: u32, value: f32, left: u32, right: u32) -> Node {
        Node::Split(Split { feature, test: Test::Below(value), default_left: false, left, right })
    }

    fn parts(nodes: Vec<Node>, values: Vec<f64>) -> Parts {
        let trees = vec![Tree { nodes, outputs: vec![Leaves { group: 0, values }] }];
        Parts { trees, base: vec![10.0], width: 2, scale: 1.0, link: Link::Identity, double: false }
    }

    #[test]
    fn trees_that_would_not_end_are_refused() {
        let refuse = |nodes: Vec<Node>| Trees::new(parts(nodes, vec![0.0, 1.0])).unwrap_err().to_string();
        let (a, b) = (Node::Leaf(0), Node::Leaf(1));
        assert!(refuse(vec![]).contains("no nodes"));
        assert!(refuse(vec![split(0, 1.0, 0, 1), a.clone()]).contains("twice"));
        assert!(refuse(vec![split(0, 1.0, 1, 1), a.clone()]).contains("twice"));
        assert!(refuse(vec![split(0, 1.0, 1, 9), a.clone()]).contains("child 9"));
        assert!(refuse(vec![split(2, 1.0, 1, 2), a.clone(), b.clone()]).contains("feature 2"));
        assert!(refuse(vec![split(0, f32::NAN, 1, 2), a, b]).contains("NaN"));
        assert!(refuse(vec![Node::Leaf(7)]).contains("leaf 7 of 2"));
        let infinite = Trees::new(parts(vec![Node::Leaf(0)], vec![f64::INFINITY])).unwrap_err().to_string();
        assert!(infinite.contains("leaf 0 is inf"), "{infinite}");
    }

    #[test]
    fn a_walk_goes_where_the_tests_say() {
        let mut root = split(1, 0.5, 1, 2);
        if let Node::Split(root) = &mut root {
            root.default_left = true;
        }
        let nodes = vec![root, Node::Leaf(0), split(0, 3.0, 3, 4), Node::Leaf(1), Node::Leaf(2)];
        let trees = Trees::new(parts(nodes, vec![-1.0, 2.0, 5.0])).unwrap();
        let features = Features { rows: 4, values: vec![1.0, 2.9, 3.0, f32::NAN, 0.4, 0.5, 0.6, f32::NAN] };
        assert_eq!(trees.score(&features).unwrap(), vec![vec![9.0, 12.0, 15.0, 9.0]]);
        assert_eq!(trees.leaves(&features), vec![vec![0, 1, 2, 0]]);
    }

    #[test]
    fn at_most_is_exact_for_values_of_32_bits() {
        for threshold in [0.0, -0.0, 0.1, 0.1f32.into(), 1e300, -1e300, f64::from(f32::MAX), 1e-45, 1e-300, -1e-300] {
            let Test::Below(below) = Test::at_most(threshold) else { panic!() };
            let near = threshold as f32;
            for x in [near, near.next_up(), near.next_down(), 0.0, -0.0, f32::MAX, f32::MIN, f32::INFINITY, 1.0] {
                assert_eq!(x < below, f64::from(x) <= threshold, "{x} <= {threshold}");
                let Test::Below(strictly) = Test::below(threshold) else { panic!() };
                assert_eq!(x < strictly, f64::from(x) < threshold, "{x} < {threshold}");
            }
        }
    }

    #[test]
    fn a_set_holds_what_its_ranges_say() {
        let set = Set::of(vec![(3.0, 4.0), (f32::NEG_INFINITY, -2.0), (4.0, 5.0), (7.0, 7.0)]).unwrap();
        assert_eq!(set.ends(), [f32::NEG_INFINITY, -2.0, 3.0, 5.0]);
        for (value, held) in [
            (-3.0, true),
            (f32::NEG_INFINITY, true),
            (-2.0, false),
            (3.0, true),
            (4.9, true),
            (5.0, false),
            (7.0, false),
            (f32::NAN, false),
        ] {
            assert_eq!(set.holds(value), held, "{value}");
        }
        assert!(Set::of(vec![(f32::NAN, 1.0)]).is_none());
    }
}
