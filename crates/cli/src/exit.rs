//! A command line that ends before anything is captured: help, version, or an error.

use clap::error::ErrorKind;

/// What the program prints, and the status with which it exits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit status.
    pub code: u8,
    /// What to print; ends with a line feed.
    pub text: String,
    /// Where to print it: standard output if the user asked for it, else standard error.
    pub to_stdout: bool,
}

impl Exit {
    /// Text that was asked for.
    pub(crate) fn answer(text: String) -> Self {
        Self { code: 0, text, to_stdout: true }
    }

    /// An error with a hint.
    pub(crate) fn error(message: &str, hint: &str) -> Self {
        Self { code: 1, text: format!("error: {message}\n\n{hint}\n"), to_stdout: false }
    }
}

impl From<clap::Error> for Exit {
    fn from(error: clap::Error) -> Self {
        let text = error.render().to_string();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Self::answer(text),
            // Status 1, as it has always been for this program.
            _ => Self { code: 1, text, to_stdout: false },
        }
    }
}
