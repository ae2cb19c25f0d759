//! Model files that cannot be: what a truncated, cyclic or lying file of each format is answered with, and that no damaged
//! byte crashes the reader.

use daymill::score::foreign::Format;

use crate::foreign::*;
use crate::support::*;

/// Replaces a text that must be there, once.
fn swap(text: &str, from: &str, to: &str) -> Vec<u8> {
    assert!(text.contains(from), "{from:?}");
    text.replacen(from, to, 1).into_bytes()
}

/// The line `key=...` of the first tree, with another value.
fn line(text: &str, key: &str, value: &str) -> Vec<u8> {
    let tree = text.find("Tree=0").unwrap();
    let at = tree + text[tree..].find(&format!("\n{key}=")).unwrap() + 1;
    let end = at + text[at..].find('\n').unwrap();
    format!("{}{key}={value}{}", &text[..at], &text[end..]).into_bytes()
}

/// A value of the first tree of an XGBoost or CatBoost model, changed.
pub fn json(text: &str, pointer: &str, value: serde_json::Value) -> Vec<u8> {
    let mut model: serde_json::Value = serde_json::from_str(text).unwrap();
    *model.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    serde_json::to_vec(&model).unwrap()
}

/// Every damage that is no chance: cycles, children and features out of range, thresholds that are NaN, claims of 10^9.
fn damages() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    use serde_json::json as value;
    let text = |name: &str| {
        std::fs::read_to_string(model_file(&repository().join("fixtures/models/foreign").join(name))).unwrap()
    };
    let (xgboost, lightgbm) = (text("xgboost_json"), text("lightgbm_binary"));
    let (words, catboost) = (text("lightgbm_words"), text("catboost_binary"));
    let tree = |key: &str| format!("/learner/gradient_booster/model/trees/0/{key}");
    let many = |n: usize| (0..n).map(|_| "1").collect::<Vec<_>>().join(" ");
    let leaves = lightgbm.split("Tree=0").nth(1).unwrap().split("num_leaves=").nth(1).unwrap().lines().next().unwrap();
    let splits = leaves.parse::<usize>().unwrap() - 1;
    vec![
        ("xgboost", "twice", json(&xgboost, &tree("left_children/0"), value!(0))),
        ("xgboost", "twice", json(&xgboost, &tree("right_children/1"), value!(2))),
        ("xgboost", "child", json(&xgboost, &tree("left_children/0"), value!(1_000_000_000))),
        ("xgboost", "feature", json(&xgboost, &tree("split_indices/0"), value!(6))),
        ("xgboost", "NaN", json(&xgboost, &tree("split_conditions/0"), value!(null))),
        ("xgboost", "length", json(&xgboost, &tree("default_left"), value!([0]))),
        ("xgboost", "claims", json(&xgboost, "/learner/learner_model_param/num_feature", value!("1000000000"))),
        ("xgboost", "claims", json(&xgboost, "/learner/learner_model_param/num_class", value!("1000000000"))),
        ("xgboost", "not a number", json(&xgboost, "/learner/learner_model_param/num_feature", value!("many"))),
        ("xgboost", "base_score", json(&xgboost, "/learner/learner_model_param/base_score", value!("nan"))),
        ("xgboost", "tree_info", json(&xgboost, "/learner/gradient_booster/model/tree_info", value!([0]))),
        ("xgboost", "output", json(&xgboost, "/learner/gradient_booster/model/tree_info/0", value!(9))),
        ("xgboost", "\"gbmystery\"", json(&xgboost, "/learner/gradient_booster/name", value!("gbmystery"))),
        ("xgboost", "\"rank:own\"", json(&xgboost, "/learner/objective/name", value!("rank:own"))),
        ("xgboost", "several targets", json(&xgboost, "/learner/learner_model_param/num_target", value!("2"))),
        (
            "xgboost",
            "the JSON holds 33554435 values",
            [b"{\n\"learner\"" as &[u8], &vec![b','; (1 << 25) + 3]].concat(),
        ),
        ("xgboost", "vector leaves", json(&xgboost, &tree("tree_param/size_leaf_vector"), value!("3"))),
        ("lightgbm", "twice", line(&lightgbm, "left_child", &format!("0 {}", many(splits - 1)))),
        ("lightgbm", "out of range", line(&lightgbm, "left_child", &format!("1000000000 {}", many(splits - 1)))),
        ("lightgbm", "out of range", line(&lightgbm, "right_child", &format!("-1000000000 {}", many(splits - 1)))),
        ("lightgbm", "feature", line(&lightgbm, "split_feature", &format!("7 {}", many(splits - 1)))),
        ("lightgbm", "NaN", line(&lightgbm, "threshold", &format!("nan {}", many(splits - 1)))),
        ("lightgbm", "num_leaves", line(&lightgbm, "num_leaves", "1000000000")),
        ("lightgbm", "no such number", line(&lightgbm, "num_leaves", "-3")),
        ("lightgbm", "no such number", line(&lightgbm, "threshold", "one")),
        ("lightgbm", "length", line(&lightgbm, "threshold", "1.0")),
        (
            "lightgbm",
            "missing values",
            line(&lightgbm, "decision_type", &format!("12 {}", many(splits - 1).replace('1', "2"))),
        ),
        ("lightgbm", "linear trees", line(&lightgbm, "is_linear", "1")),
        ("lightgbm", "feature_names", swap(&lightgbm, "max_feature_idx=5", "max_feature_idx=999999999")),
        ("lightgbm", "iterations of", swap(&lightgbm, "num_tree_per_iteration=1", "num_tree_per_iteration=1000000000")),
        ("lightgbm", "\"mystery\"", swap(&lightgbm, "objective=binary", "objective=mystery")),
        ("lightgbm", "end of trees", swap(&lightgbm, "end of trees", "")),
        ("lightgbm", "categories", line(&words, "cat_boundaries", "0 1000000000")),
        ("catboost", "feature", json(&catboost, "/oblivious_trees/0/splits/0/float_feature_index", value!(6))),
        ("catboost", "border", json(&catboost, "/oblivious_trees/0/splits/0/border", value!(null))),
        ("catboost", "leaf_values", json(&catboost, "/oblivious_trees/0/leaf_values", value!([1.0]))),
        ("catboost", "splits", json(&catboost, "/oblivious_trees/0/splits", value!(vec![value!({}); 60]))),
        ("catboost", "scale_and_bias", json(&catboost, "/scale_and_bias", value!([0.0, [1.0]]))),
        (
            "catboost",
            "OneHotFeature",
            json(&catboost, "/oblivious_trees/0/splits/0/split_type", value!("OneHotFeature")),
        ),
    ]
}

/// The same for ONNX, whose files are messages.
fn damaged_graphs() -> Vec<(&'static str, Vec<u8>)> {
    use daymill::score::onnx::proto::{Attribute, Graph, Model, Node, Tensor};
    use prost::Message;
    let path = |name: &str| model_file(&repository().join("fixtures/models/foreign").join(name));
    let damage = |name: &str, change: &dyn Fn(&mut Graph)| {
        let mut model = Model::decode(std::fs::read(path(name)).unwrap().as_slice()).unwrap();
        change(model.graph.as_mut().unwrap());
        // The version of the format, which is not among the fields that are read.
        [&[0x08, 0x0a][..], &model.encode_to_vec()].concat()
    };
    fn of<'a>(node: &'a mut Node, name: &str) -> &'a mut Attribute {
        node.attribute.iter_mut().find(|a| a.name == name).unwrap_or_else(|| panic!("{name}"))
    }
    // A step of these constants between the input and the forest.
    let before = |op_type: &str, constants: &[(&[i64], &[i64])], first: bool| {
        damage("onnx_forest", &|graph| {
            let mut input: Vec<String> = if first { vec![graph.node[0].input[0].clone()] } else { Vec::new() };
            for (number, (dims, values)) in constants.iter().enumerate() {
                let name = format!("constant_{number}");
                let (dims, int64_data) = (dims.to_vec(), values.to_vec());
                graph.initializer.push(Tensor {
                    dims,
                    int64_data,
                    data_type: 7,
                    name: name.clone(),
                    ..Tensor::default()
                });
                input.push(name);
            }
            let output = vec!["between".to_owned()];
            graph.node[0].input[0] = output[0].clone();
            graph.node.insert(0, Node { input, output, op_type: op_type.into(), ..Node::default() });
        })
    };
    let forest = |change: &dyn Fn(&mut Node)| damage("onnx_forest", &|graph| change(&mut graph.node[0]));
    let newer = |change: &dyn Fn(&mut Node)| damage("onnx_version_5", &|graph| change(&mut graph.node[0]));
    let members = |change: &dyn Fn(&mut Node)| damage("onnx_members", &|graph| change(&mut graph.node[0]));
    vec![
        ("twice", forest(&|node| of(node, "nodes_truenodeids").ints[0] = 0)),
        ("child 1000000000", forest(&|node| of(node, "nodes_falsenodeids").ints[0] = 1_000_000_000)),
        ("feature", forest(&|node| of(node, "nodes_featureids").ints[0] = 1_000_000_000)),
        ("feature", forest(&|node| of(node, "nodes_featureids").ints[0] = -1)),
        ("NaN", forest(&|node| of(node, "nodes_values").floats[0] = f32::NAN)),
        ("leaf", forest(&|node| of(node, "class_weights").floats[0] = f32::INFINITY)),
        ("leaf", forest(&|node| of(node, "class_nodeids").ints[0] = 1_000_000_000)),
        ("output", forest(&|node| of(node, "class_ids").ints[0] = 7)),
        ("differ in length", forest(&|node| of(node, "nodes_modes").strings.truncate(3))),
        ("stands twice", forest(&|node| of(node, "nodes_nodeids").ints[1] = 0)),
        ("\"BRANCH_SIDEWAYS\"", forest(&|node| of(node, "nodes_modes").strings[0] = b"BRANCH_SIDEWAYS".to_vec())),
        ("PROBIT", forest(&|node| of(node, "post_transform").s = b"PROBIT".to_vec())),
        ("Teleport", forest(&|node| node.op_type = "Teleport".into())),
        ("cannot be run", forest(&|node| node.input[0] = "nowhere".into())),
        (
            "has the shape",
            damage("onnx_forest", &|graph| {
                let kind = graph.input[0].kind.as_mut().unwrap().tensor.as_mut().unwrap();
                kind.shape.as_mut().unwrap().dim[1].value = 1 << 40;
            }),
        ),
        ("claims too many", damage("onnx_kmeans", &|graph| graph.initializer[0].dims = vec![1 << 20, 1 << 20])),
        ("holds", damage("onnx_kmeans", &|graph| graph.initializer[0].dims = vec![3, 3])),
        ("cannot be run", damage("onnx_polynomial", &|graph| graph.initializer.retain(|t: &Tensor| t.dims.len() > 1))),
        ("slices with steps", before("Slice", &[(&[1], &[0]), (&[1], &[4]), (&[1], &[1]), (&[1], &[2])], true)),
        ("without its ends", before("Slice", &[], true)),
        ("is out of", before("Gather", &[(&[2], &[0, 1_000_000])], true)),
        ("claims too many", before("ConstantOfShape", &[(&[2], &[1 << 20, 1 << 20])], false)),
        ("reached twice", newer(&|node| of(node, "nodes_truenodeids").ints[3] = 3)),
        ("out of range", newer(&|node| of(node, "nodes_falsenodeids").ints[0] = 1_000_000_000)),
        ("a leaf belongs to target 7 of 2", newer(&|node| of(node, "leaf_targetids").ints[0] = 7)),
        ("members of 4 sets", members(&|node| of(node, "nodes_modes").t.as_mut().unwrap().int32_data[1] = 0)),
        ("infinity", members(&|node| of(node, "membership_values").t.as_mut().unwrap().float_data[0] = f32::INFINITY)),
        ("members of 0 sets", newer(&|node| of(node, "nodes_modes").t.as_mut().unwrap().int32_data[0] = 6)),
        ("its mode is 7", newer(&|node| of(node, "nodes_modes").t.as_mut().unwrap().int32_data[0] = 7)),
        ("outputs", damage("onnx_forest_regressor", &|graph| of(&mut graph.node[0], "n_targets").i = 1_000_000_000)),
    ]
}

#[test]
fn models_that_cannot_be_are_66_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let graphs = damaged_graphs().into_iter().map(|(says, bytes)| ("onnx", says, bytes));
    for (kind, says, bytes) in damages().into_iter().chain(graphs) {
        let format = Format::of_kind(kind).unwrap();
        let error = format.read(&bytes, None).map(|_| ()).expect_err(says);
        assert_eq!(error.class.exit_code(), 66, "{kind}: {error}");
        let told = format!("{error} {:?} {:?}", error.causes, error.hint);
        assert!(told.contains(says), "{kind}, {says}: {told}");
        // ... and the program says which file it is.
        let path = folder.path().join("damaged.model");
        std::fs::write(&path, &bytes).unwrap();
        let project = Project::empty();
        let ended = project.daymill(&["models", "import", path.to_str().unwrap(), "-o", "m/1"]);
        ended.expect(66).says("damaged.model").says(says);
        assert!(!project.path("m").join("1").exists());
    }
}

#[test]
fn damaged_model_files_are_errors_and_never_crashes() {
    use crate::faults::{Random, full, seed};
    let mut random = Random(seed());
    let (mut refused, mut all) = (0, 0);
    for folder in folders() {
        let good = std::fs::read(model_file(&folder)).unwrap();
        let format = Format::guess(&good).unwrap();
        let cuts =
            (0..if full() { 400 } else { 30 }).map(|_| random.below(good.len() as u64) as usize).collect::<Vec<_>>();
        let mut mutations: Vec<Vec<u8>> = cuts.iter().map(|n| good[..*n].to_vec()).collect();
        mutations.extend((0..if full() { 2000 } else { 60 }).map(|_| {
            let mut bytes = good.clone();
            for _ in 0..1 + random.below(3) {
                let at = random.below(good.len() as u64) as usize;
                bytes[at] = random.next() as u8;
            }
            bytes
        }));
        for bytes in mutations {
            all += 1;
            if let Err(error) = format.read(&bytes, None) {
                assert_eq!(error.class.exit_code(), 66, "{}: {error}", folder.display());
                refused += 1;
            }
        }
    }
    eprintln!("{all} damaged models, {refused} refused, 0 crashes");
    assert!(refused > all / 4);
}
