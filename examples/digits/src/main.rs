//! Train one digit classifier of a cross-validation, as a task for Kumo.
//!
//! Reads `/in/digits.csv` (8×8 images of handwritten digits, see ATTRIBUTION.md), trains a network with at most one
//! hidden layer on all folds but one, tests it on that one, and writes `/out/model.json` and `/out/metrics.json`. It
//! uses no clock and no entropy, so the same arguments give the same bytes on every machine: that is what lets an
//! auditor check the result by running it again.

mod data;
mod model;
mod options;

use data::Digits;
use model::{Model, Shape};
use options::Options;
use std::error::Error;
use std::fs;
use std::process::ExitCode;

/// Epochs between two progress lines.
const REPORT_EPOCHS: u32 = 5;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("digits: {problem}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("digits: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(&options.input).map_err(|e| format!("cannot read {}: {e}", options.input))?;
    let digits = Digits::parse(&text)?;
    let (train, test) = digits.split(options.fold, options.folds, options.seed);
    println!(
        "{} images to learn from, {} to test (fold {} of {})",
        train.len(),
        test.len(),
        options.fold,
        options.folds
    );

    let mut model = Model::new(Shape { hidden: options.hidden }, options.seed);
    let mut loss = f32::NAN;
    for epoch in 1..=options.epochs {
        loss = model.train_epoch(&train, options.rate, options.seed.wrapping_add(u64::from(epoch)));
        if epoch % REPORT_EPOCHS == 0 || epoch == options.epochs {
            println!("epoch {epoch:>3}  loss {loss:.4}  accuracy {:.4}", model.accuracy(&test));
        }
    }

    let accuracy = model.accuracy(&test);
    write(&options.out, "model.json", &model.to_json())?;
    write(&options.out, "metrics.json", &metrics(options, accuracy, loss, test.len()))?;
    println!("accuracy {accuracy:.4} with rate {} and {} hidden units", options.rate, options.hidden);
    Ok(())
}

fn metrics(options: &Options, accuracy: f32, loss: f32, tested: usize) -> String {
    let Options { rate, epochs, hidden, fold, folds, seed, .. } = options;
    format!(
        "{{\"accuracy\":{accuracy},\"loss\":{loss},\"tested\":{tested},\"fold\":{fold},\"folds\":{folds},\
         \"rate\":{rate},\"epochs\":{epochs},\"hidden\":{hidden},\"seed\":{seed}}}\n"
    )
}

fn write(folder: &str, name: &str, text: &str) -> Result<(), String> {
    let path = format!("{folder}/{name}");
    fs::write(&path, text).map_err(|e| format!("cannot write {path}: {e}"))
}
