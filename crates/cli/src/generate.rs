//! Completions and man pages, from the same table as the help.

use crate::clap_command;
pub use clap_complete::Shell;
use std::io::{self, Write};
use std::path::Path;

/// Writes the completion script for a shell.
pub fn write_completion(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    // The generator cannot report a failed write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut clap_command(), "ecapture", &mut script);
    out.write_all(&script)
}

/// Writes `ecapture.1` and a page for each command into `dir`, which must exist.
pub fn write_man_pages(dir: &Path) -> io::Result<()> {
    clap_mangen::generate_to(clap_command(), dir)
}
