//! Why no plan for the keys could be made.

/// What did not fit. Nothing is guessed: without a plan there are no keys from this file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a file that can be analysed.
    #[error(transparent)]
    File(#[from] crate::Error),
    /// No strings of key log lines, and none of the accessors of older libraries.
    #[error(
        "no key log labels in its constant data, and no master key: {0}; \
         name the library's version with --ssl_version if it is an OpenSSL without symbols"
    )]
    NoLabels(String),
    /// Labels are there, but no function gets all of them.
    #[error("no function gets all key log labels: {0}")]
    NoSink(String),
    /// A function gets the labels, but is not what it should be.
    #[error("the labels reach a function that is not understood: {0}")]
    Shape(String),
    /// The function that gets the labels is not called where the program wants no key log.
    #[error(
        "the callers of {0:#x}, which the labels reach, test for a key log callback before they \
         call it: it sees no secret of a program that has none"
    )]
    Guarded(u64),
    /// Two derivations of one thing disagree.
    #[error("{what}: {one} by {by}, but {other} by {otherwise}; neither is believed")]
    Contradiction {
        /// What was derived.
        what: &'static str,
        /// The first result.
        one: String,
        /// Where it is from.
        by: &'static str,
        /// The second result.
        other: String,
        /// Where that is from.
        otherwise: &'static str,
    },
    /// `--ssl_version` names a version without a known layout.
    #[error("no layout is known for version {0:?}: known are {1}")]
    UnknownVersion(String, String),
    /// `--ssl_version` names another library than this one.
    #[error("the file is not {version}: {what}")]
    OtherVersion {
        /// The version that was asked for.
        version: String,
        /// What does not fit.
        what: String,
    },
}
