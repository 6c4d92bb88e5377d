//! The tool's own log: standard error or a file, never standard output.

use crate::capture::control;
use anyhow::Context as _;
use cli::Global;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging as the user asked.
pub(crate) fn start(global: &Global) -> anyhow::Result<()> {
    let level = match (global.quiet, global.debug) {
        (true, _) => Level::ERROR,
        (_, true) => Level::DEBUG,
        _ => Level::INFO,
    };
    let hub = global.control.ecaptureq.is_some().then(control::start_stream);
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::from_level(level))
        .with(hub.map(|_| control::ToHub));
    let lines = tracing_subscriber::fmt::layer().with_timer(SystemTime).with_target(true);
    if let Some(path) = &global.log_file {
        let file =
            sink::create_private(path).with_context(|| format!("--logaddr {}", path.display()))?;
        subscriber.with(lines.with_ansi(false).with_writer(Mutex::new(file))).init();
    } else {
        let colour = std::io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        subscriber.with(lines.with_ansi(colour).with_writer(std::io::stderr)).init();
    }
    Ok(())
}

/// An error and its causes. Many of ours name their cause themselves: nothing is said twice.
pub(crate) fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.contains(&cause) {
            continue;
        }
        if !line.is_empty() {
            line += ": ";
        }
        line += &cause;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn causes_are_named_once() {
        let error = anyhow!("no space").context("cannot write: no space").context("--output x");
        assert_eq!(in_one_line(&error), "--output x: cannot write: no space");
    }
}
