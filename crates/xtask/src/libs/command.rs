//! Running the programs that do the work: curl, dpkg-deb, npm, make.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// Runs a command to its end and returns its standard output; its standard error is shown if it
/// fails.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let result = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program} could not be started (is it installed?)"))?;
    if !result.status.success() {
        let stderr = String::from_utf8_lossy(&result.stderr);
        let tail: Vec<&str> = stderr.lines().rev().take(20).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!("{program} failed ({}):\n{}", result.status, tail.join("\n"));
    }
    Ok(result.stdout)
}

/// Downloads a URL.
pub(crate) fn download(url: &str) -> Result<Vec<u8>> {
    output(Command::new("curl").args(["--silent", "--show-error", "--fail", "--location"]).args([
        "--retry",
        "3",
        "--max-time",
        "600",
        url,
    ]))
    .with_context(|| format!("downloading {url}"))
}
