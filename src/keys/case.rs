//! The keys of case.toml.

use super::key::{File, Key, Shape, Takes, key, section};

pub const CASE: File = File {
    name: "case",
    path: "fixtures/cases/JOB/CASE/case.toml",
    about: "A test of a job: the date it is run for, and how closely the rows must be those of `expected.csv`.",
    root: Shape::of(&ROOT),
};

const ROOT: [Key; 6] = [
    key("description", Takes::Text, "What the case shows.", "\"Two flights at the end of summer time\""),
    key("date", Takes::Text, "The interval, as `--date` takes it.", "\"2013-06-08\"").required(),
    key("now", Takes::Text, "What the time is when the case runs.", "\"2013-06-09T07:00:00Z\"")
        .usually("long after the interval"),
    key(
        "expect_error",
        Takes::Whole { from: 1, to: 255 },
        "The exit code with which the job must fail, in place of rows.",
        "65",
    ),
    key("expect_message", Takes::Text, "What the error must say.", "\"the key (id) is not unique\"")
        .only(&["expect_error"]),
    section(
        "tolerance",
        Takes::Named("COLUMN", &Takes::Number { from: 0.0, to: f64::MAX }),
        "How far a number may be from the expected one. Columns without a tolerance must be equal.",
    ),
];
