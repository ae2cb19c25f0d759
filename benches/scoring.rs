//! Scores rows with a model file, in memory, and prints rows per second: what the Python libraries are compared with.
//!
//!   cargo bench --bench scoring -- MODEL ROWS.parquet THREADS
//!
//! Each thread takes blocks of rows, as a run does. The best of five rounds counts, as it does for the libraries.

#![allow(clippy::expect_used, clippy::disallowed_macros)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};
use daymill::models::import::sample;
use daymill::score::Model;
use daymill::score::contract::Features;
use daymill::score::foreign::Format;

const BLOCK: usize = 16_384;
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [model, rows, threads] = arguments.as_slice() else {
        eprintln!("MODEL ROWS.parquet THREADS");
        std::process::exit(2);
    };
    let threads: usize = threads.parse().expect("THREADS is a number");
    let bytes = std::fs::read(model).expect("the model can be read");
    let format = Format::guess(&bytes).expect("a format that is known");
    let model = format.read(&bytes, None).expect("a model that is whole").model;
    let batch = sample(rows.as_ref()).expect("rows");
    let columns: Vec<Vec<f32>> = (0..model.width())
        .map(|index| {
            let column = cast(batch.column(index), &DataType::Float32).expect("numbers");
            let values = column.as_primitive::<Float32Type>();
            values.iter().map(|value| value.unwrap_or(f32::NAN)).collect()
        })
        .collect();
    let blocks: Vec<Features> = (0..batch.num_rows())
        .step_by(BLOCK)
        .map(|first| {
            let rows = BLOCK.min(batch.num_rows() - first);
            let values = columns.iter().flat_map(|column| column[first..first + rows].iter().copied()).collect();
            Features { rows, values }
        })
        .collect();
    let mut best = f64::INFINITY;
    let mut sum = 0.0;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        sum = round(&model, &blocks, threads);
        best = best.min(started.elapsed().as_secs_f64());
    }
    let kernel = if let Model::Trees(trees) = &model { trees.kernel() } else { "dense".into() };
    println!("{{\"rows_per_second\": {}, \"kernel\": \"{kernel}\", \"sum\": {sum}}}", batch.num_rows() as f64 / best);
}

/// Scores every block once; the sum keeps the work from being left out.
fn round(model: &Model, blocks: &[Features], threads: usize) -> f64 {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut sum = 0.0;
        while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let scores = model.score(block).expect("scores");
            sum += scores[0].iter().map(|score| f64::from(*score)).sum::<f64>();
        }
        sum
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles.into_iter().map(|handle| handle.join().expect("a thread")).sum()
    })
}
