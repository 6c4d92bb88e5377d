//! The ecapture command: flags become a configuration, which wires target, probe, flow and sink
//! together.

mod analysis;
mod capture;
mod child;
mod convert;
mod database;
mod destination;
mod doctor;
mod go;
mod inspect;
mod keys;
mod log;
mod shell;

use cli::Command;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = child::stand_in() {
        return code;
    }
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(exit) => {
            // Nobody is left to be told if this fails.
            let _ = if exit.to_stdout {
                std::io::stdout().write_all(exit.text.as_bytes())
            } else {
                std::io::stderr().write_all(exit.text.as_bytes())
            };
            return ExitCode::from(exit.code);
        }
    };
    let outcome = run(command);
    log::finish();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            let _ =
                writeln!(std::io::stderr(), "error: {}", sink::visible(&log::in_one_line(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Tls(config) => capture::tls(&config),
        Command::Shell(config) => capture::shell(&config),
        Command::Database(config) => capture::database(&config),
        Command::Inspect(config) => {
            log::start(&config.global, None)?;
            inspect::run(&config)
        }
        Command::Convert(config) => {
            log::start(&config.global, None)?;
            convert::run(&config)
        }
        Command::Doctor(config) => {
            log::start(&config.global, None)?;
            doctor::run()
        }
        Command::Completion(shell) => {
            cli::write_completion(shell, &mut std::io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man(directory) => {
            cli::write_man_pages(&directory)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
