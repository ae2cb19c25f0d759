//! Commands about models, and those that write something new.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::words::iterations;
use crate::models::import::Iterations;

#[derive(Subcommand, Debug)]
pub enum New {
    /// Write a job, its SQL and its model's bundle
    Job(NewJob),
}

#[derive(Args, Debug)]
pub struct NewJob {
    /// The job's name: a file jobs/NAME.toml
    pub name: String,
    /// Where rows come from: a table of a connection, as ops.orders, or files, as data/{date}.csv or data/*.parquet
    #[arg(long, value_name = "SOURCE")]
    pub from: String,
    /// The columns that tell each row from all others of its day
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', required = true)]
    pub key: Vec<String>,
    /// The column with the time of a row; not needed where files are named by {date}
    #[arg(long, value_name = "COLUMN")]
    pub time: Option<String>,
    /// A model: a file of XGBoost, LightGBM, CatBoost or ONNX, or one that is there, as models/x@champion
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// The clock of the days, and of times without a zone [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// The table that is published [default: the job's name]
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
}

#[derive(Subcommand, Debug)]
pub enum Models {
    /// Make a bundle from a model file of XGBoost, LightGBM or CatBoost, or from ONNX
    Import(ImportModel),
    /// Open a bundle as a run does, ask its oracle, and look for what goes wrong when models move
    Verify {
        /// The model, as models/flight_delay@3, models/flight_delay@champion or a bundle's folder
        model: String,
        /// Rows with the library's own outputs, as Parquet
        #[arg(long, value_name = "FILE", requires = "expected")]
        inputs: Option<PathBuf>,
        /// The columns of the inputs that hold those outputs
        #[arg(long, value_name = "COLUMN", value_delimiter = ',', requires = "inputs")]
        expected: Vec<String>,
    },
    /// The models of the project, their versions, and what each alias means now
    List,
    /// Print a bundle's signature, size, features by gain, and lineage
    Show {
        /// The model, as models/flight_delay@3, models/flight_delay@champion or a bundle's folder
        model: String,
    },
    /// Keep what the rows were that a model was trained on, beside it: drift is measured from there
    Reference {
        /// The model, as models/flight_delay@3, models/flight_delay@champion or a bundle's folder
        model: String,
        /// Rows that it was trained on, as Parquet, with the features under the model's names
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
    /// Let an alias mean a version from now on; the record of this is only appended to
    Promote {
        /// The bundle, as models/flight_delay@3
        model: String,
        /// The alias
        #[arg(long, default_value = "champion", value_name = "NAME")]
        alias: String,
        /// Since when [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

#[derive(Args, Debug)]
pub struct ImportModel {
    /// What the library saved: XGBoost's .ubj or .json, LightGBM's .txt, CatBoost's .json, an .onnx
    pub file: PathBuf,
    /// The bundle's folder, as models/flight_delay/4; its names are those of the model and the version
    #[arg(short, long = "out", value_name = "BUNDLE")]
    pub out: PathBuf,
    /// The model's name [default: the name of the folder above the bundle]
    #[arg(long)]
    pub name: Option<String>,
    /// The version [default: the bundle's folder, when it is a number, else 1]
    #[arg(long, value_name = "N")]
    pub version: Option<i64>,
    /// Boosting rounds: best (up to where training was best), all, or a number
    #[arg(long, default_value = "best", value_name = "N", value_parser = iterations)]
    pub iterations: Iterations,
    /// Rows for the oracle, as Parquet; without them rows are drawn around the model's thresholds
    #[arg(long, value_name = "FILE")]
    pub inputs: Option<PathBuf>,
    /// The columns of the inputs that hold the library's own outputs
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', requires = "inputs")]
    pub expected: Vec<String>,
    /// Names of the outputs [default: score, or score_0, score_1, ...]
    #[arg(long = "output-names", value_name = "NAME", value_delimiter = ',')]
    pub outputs: Vec<String>,
}
