//! `ecapture convert`: recorded events into another format, with the encoders of the capture.

use anyhow::{Context as _, bail};
use cli::{ConvertConfig, ConvertTo};
use sink::{
    Encoder, Form, Har, JsonEncoder, JsonOptions, Output, OutputState, Recorded, Stored,
    TextEncoder, TextOptions,
};
use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::Path;
use std::process::ExitCode;

/// Converts a file.
pub(crate) fn run(config: &ConvertConfig) -> anyhow::Result<ExitCode> {
    let name = config.input.as_deref().unwrap_or(Path::new("standard input"));
    let input: Box<dyn Read> = match &config.input {
        Some(path) => Box::new(File::open(path).with_context(|| path.display().to_string())?),
        None => Box::new(std::io::stdin()),
    };
    let form = config.from.map(|form| match form {
        cli::Stored::Json => Form::Json,
        cli::Stored::Protobuf => Form::Protobuf,
    });
    let mut stored = Stored::open(input, form).with_context(|| name.display().to_string())?;
    let outcome = match config.to {
        ConvertTo::Har => to_har(config, &mut stored),
        ConvertTo::Text | ConvertTo::Json => to_records(config, &mut stored),
    };
    outcome.with_context(|| name.display().to_string())?;

    let stats = stored.stats();
    if stats.cut_short {
        tracing::warn!("{}: the last event is cut off and left out", name.display());
    }
    if let Some(first) = stored.first_skipped() {
        let skipped = stats.skipped;
        bail!("{}: {skipped} entries are no events and were left out; {first}", name.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn to_har(config: &ConvertConfig, stored: &mut Stored) -> anyhow::Result<()> {
    let Some(path) = &config.output else {
        bail!("a HAR file cannot be written to standard output: give --output FILE");
    };
    let mut har = Har::create(path, env!("CARGO_PKG_VERSION")).context("--output")?;
    let (mut commands, mut statements) = (0_u64, 0_u64);
    while stored.next(|recorded| match recorded {
        Recorded::Record(record) => har.record(record),
        Recorded::Command(_) => commands += 1,
        Recorded::Query(_) => statements += 1,
    })? {
        har.flush()?;
    }
    if commands + statements > 0 {
        tracing::warn!(
            "{commands} commands and {statements} statements are no HTTP exchanges: they are not in the HAR file"
        );
    }
    Ok(har.finish()?)
}

fn to_records(config: &ConvertConfig, stored: &mut Stored) -> anyhow::Result<()> {
    let mut output = match &config.output {
        Some(path) => Output::file(path, encoder(config, false)).context("--output")?,
        None => Output::stdout(encoder(config, std::io::stdout().is_terminal()))
            .context("cannot use standard output")?,
    };
    let mut outcome = Ok(OutputState::Open);
    while matches!(outcome, Ok(OutputState::Open))
        && stored.next(|recorded| {
            outcome = match recorded {
                Recorded::Record(record) => output.write(record),
                Recorded::Command(command) => output.write_command(command),
                Recorded::Query(query) => output.write_query(query),
            }
        })?
    {}
    outcome?;
    output.flush()?;
    Ok(())
}

fn encoder(config: &ConvertConfig, terminal: bool) -> Box<dyn Encoder + Send> {
    let global = &config.global;
    let tsize = global.tsize.map(|limit| usize::try_from(limit.get()).unwrap_or(usize::MAX));
    if config.to == ConvertTo::Json {
        return Box::new(JsonEncoder::new(JsonOptions { tsize, escape: terminal }));
    }
    let color = cli::Color::Auto.enabled(terminal, std::env::var_os("NO_COLOR").as_deref());
    Box::new(TextEncoder::new(TextOptions { color, escape: terminal, hex: global.hex, tsize }))
}
