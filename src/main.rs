//! Parse, run, say what went wrong, exit with the code that says it too.

use std::process::ExitCode;

use clap::Parser;
use daymill::cli::Cli;
use daymill::{caught, commands, output};

#[global_allocator]
static ALLOCATOR: daymill::memory::OrExit = daymill::memory::OrExit;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    // A panic is caught where it can be told as an error; the default message would go around the redaction.
    std::panic::set_hook(Box::new(daymill::memory::end_when_exhausted));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let ran = std::panic::catch_unwind(|| commands::run(&cli));
    let result = ran.unwrap_or_else(|panic| Err(caught(&*panic)));
    daymill::faults::at("before-exit");
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::error(&error);
            ExitCode::from(error.class.exit_code())
        }
    }
}
