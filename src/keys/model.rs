//! The keys of a bundle's model.toml.

use super::key::{ANY_NUMBER, COUNT, File, Key, Shape, Takes, key, section};

pub const MODEL: File = File {
    name: "model",
    path: "models/NAME/VERSION/model.toml",
    about: "A bundle: a model's file, the features that it takes, and rows with the outputs that it must give. `daymill models import` \
            writes it.",
    root: Shape::of(&ROOT),
};

const ROOT: [Key; 12] = [
    key("name", Takes::Text, "The model's name.", "\"flight_delay\"").required(),
    key("version", Takes::Whole { from: i64::MIN, to: i64::MAX }, "The version.", "3").required(),
    key("description", Takes::Text, "What it predicts.", "\"Probability of a late landing\""),
    key(
        "kind",
        Takes::Word(&[
            ("linear", "safetensors: `weight`, `bias`, optionally `mean`, `scale`"),
            ("mlp", "safetensors: `layers.N.weight`, `layers.N.bias`, with rectifiers"),
            ("xgboost", "`save_model(\"model.ubj\")` or `.json`"),
            ("lightgbm", "`save_model(\"model.txt\")`"),
            ("catboost", "`save_model(\"model.json\", format=\"json\")`"),
            ("onnx", "skl2onnx, onnxmltools"),
        ]),
        "What made the file.",
        "\"xgboost\"",
    )
    .required(),
    key("file", Takes::Text, "The model's file in the bundle's folder.", "\"model.ubj\"").required(),
    key(
        "sha256",
        Takes::Like("^[0-9a-f]{64}$"),
        "The SHA-256 of the file.",
        "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
    )
    .required(),
    key(
        "link",
        Takes::Word(&[
            ("identity", "the sums as they are"),
            ("sigmoid", "each as a probability"),
            ("softmax", "all as probabilities of one whole"),
        ]),
        "What is done to the sums of a `linear` or `mlp` model, which need it. The files of other kinds say it themselves.",
        "\"sigmoid\"",
    )
    .required()
    .only(&["kind = \"linear\"", "kind = \"mlp\""]),
    key("iterations", COUNT, "Boosting rounds that are used.", "120").usually("what the file says is best"),
    section("feature", Takes::Tables(&FEATURE), "The inputs, in the model's order.").required(),
    section("output", Takes::Tables(&OUTPUT), "The outputs, in the model's order. Without any, one: `score`."),
    section("lineage", Takes::Anything, "Where the model comes from, in whatever keys its trainer likes. `models show` prints it."),
    section(
        "oracle",
        Takes::Table(&ORACLE),
        "Inputs with the training library's own outputs. They are scored before every run; a difference stops it.",
    )
    .required(),
];

const POLICY: Takes = Takes::Word(&[
    ("error", "the run fails"),
    ("impute", "the value of `impute` is taken"),
    ("drop", "the row is not published"),
    ("pass", "the model gets it as it is"),
]);

const FEATURE: Shape = Shape::of(&[
    key("name", Takes::Text, "The column of the transform.", "\"distance\"").required(),
    key(
        "type",
        Takes::Word(&[("number", "a number, as 32 bits"), ("category", "a word of a vocabulary")]),
        "What the feature is.",
        "\"number\"",
    )
    .required(),
    key("unit", Takes::Text, "The unit, for people.", "\"miles\""),
    key("null", POLICY, "What NULL means.", "\"impute\"").usually("\"error\""),
    key("nan", POLICY, "What NaN means.", "\"error\"").usually("\"error\""),
    key("infinity", POLICY, "What an infinity means.", "\"error\"").usually("\"error\""),
    key(
        "impute",
        ANY_NUMBER,
        "The value in place of one that is missing. Of a category, the place of a word in the vocabulary, from 0.",
        "0.0",
    ),
    key("vocabulary", Takes::Texts, "The words of a category, in the order of their codes.", "[\"AA\", \"UA\"]")
        .required()
        .only(&["type = \"category\""]),
    key(
        "encoding",
        Takes::Word(&[("code", "one input: the word's place, from 0"), ("onehot", "one input for each word")]),
        "How a category reaches the model.",
        "\"code\"",
    )
    .required()
    .only(&["type = \"category\""]),
    key(
        "unknown",
        Takes::Word(&[("error", "the run fails"), ("missing", "missing for `code`, all zeros for `onehot`")]),
        "What a word outside of the vocabulary means.",
        "\"missing\"",
    )
    .usually("\"error\"")
    .only(&["type = \"category\""]),
]);

const OUTPUT: Shape = Shape::of(&[
    key("name", Takes::Text, "The output's name, which is its column unless the job says another.", "\"p_late\"")
        .required(),
    key("description", Takes::Text, "What it is.", "\"Probability\""),
]);

const ORACLE: Shape = Shape::of(&[
    key(
        "file",
        Takes::Text,
        "A Parquet file in the bundle's folder: the features and the outputs by their names.",
        "\"oracle.parquet\"",
    )
    .required(),
    key(
        "sha256",
        Takes::Like("^[0-9a-f]{64}$"),
        "The SHA-256 of the file.",
        "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
    )
    .required(),
    key(
        "tolerance",
        Takes::Number { from: 0.0, to: 0.01 },
        "How far an output may be from the expected one, as a share of it (of 1 where it is smaller).",
        "1e-6",
    )
    .usually("1e-6"),
]);
