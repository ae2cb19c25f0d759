//! Parse, run, say what went wrong, exit with the code that says it too.

use std::process::ExitCode;

use clap::Parser;
use daymill::cli::Cli;
use daymill::error::{Class, Error};
use daymill::{caught, commands, output};

const STACK: usize = 8 << 20;

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
    // A stack of its own: what the shell gives the first thread may be a few kilobytes.
    let run = std::thread::Builder::new().stack_size(STACK).spawn(move || commands::dispatch(&cli));
    let ran =
        run.map_err(|e| Error::new(Class::Io, "a thread could not be started").cause(e)).map(|thread| thread.join());
    let result = ran.and_then(|joined| joined.unwrap_or_else(|panic| Err(caught(&*panic))));
    daymill::failpoints::at("before-exit");
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::error(&error);
            ExitCode::from(error.class.exit_code())
        }
    }
}
