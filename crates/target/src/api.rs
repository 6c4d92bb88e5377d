//! The interfaces whose functions matter here: what each function means, how many register
//! arguments it has, and where its byte count comes out. This file holds the one of OpenSSL; each
//! other has a file of its own.

use crate::site::{Op, ResultStyle, Wrapper};

/// What the planner has to know about an interface.
#[derive(Debug)]
pub(crate) struct Table {
    /// Carriers of plaintext first, the ones that return the count before others of their kind.
    pub(crate) functions: &'static [Function],
    /// The wrappers that may share an internal function, the one that returns the count first.
    pub(crate) wrappers: &'static [(Op, &'static [Wrapper])],
    /// Exported functions that are thin layers over another one, in some family or version: the
    /// caller and what it calls, the preferred one first. To be proved for the file at hand.
    pub(crate) layered_on: &'static [(&'static str, &'static str)],
    /// Functions that hand their data to another exported one: the caller and what it calls.
    pub(crate) built_on: &'static [(&'static str, &'static str)],
}

/// OpenSSL and its forks.
pub(crate) static OPENSSL: Table = Table {
    functions: &FUNCTIONS,
    wrappers: &WRAPPERS,
    layered_on: &LAYERED_ON,
    built_on: &BUILT_ON,
};

/// An exported function of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) op: Op,
    /// How many arguments arrive in registers.
    pub(crate) arguments: usize,
    pub(crate) result: ResultStyle,
}

const INT: ResultStyle = ResultStyle::ReturnValue { bits: 32 };
const LONG: ResultStyle = ResultStyle::ReturnValue { bits: 64 };
const OUT_4: ResultStyle = ResultStyle::OutParam { arg: 4 };
const OUT_5: ResultStyle = ResultStyle::OutParam { arg: 5 };
const NONE: ResultStyle = ResultStyle::None;

pub(crate) const fn function(
    name: &'static str,
    op: Op,
    arguments: usize,
    result: ResultStyle,
) -> Function {
    Function { name, op, arguments, result }
}

pub(crate) const FUNCTIONS: [Function; 15] = [
    function("SSL_read", Op::Read, 3, INT),
    function("SSL_read_ex", Op::Read, 4, OUT_4),
    function("SSL_read_early_data", Op::Read, 4, OUT_4),
    function("SSL_write", Op::Write, 3, INT),
    function("SSL_write_ex", Op::Write, 4, OUT_4),
    function("SSL_write_ex2", Op::Write, 5, OUT_5),
    function("SSL_write_early_data", Op::Write, 4, OUT_4),
    function("SSL_peek", Op::Peek, 3, NONE),
    function("SSL_peek_ex", Op::Peek, 4, NONE),
    function("SSL_sendfile", Op::Sendfile, 5, LONG),
    function("SSL_free", Op::Free, 1, NONE),
    function("SSL_clear", Op::Clear, 1, NONE),
    function("SSL_set_fd", Op::SetFd, 2, NONE),
    function("SSL_set_rfd", Op::SetRfd, 2, NONE),
    function("SSL_set_wfd", Op::SetWfd, 2, NONE),
];

const WRAPPERS: [(Op, &[Wrapper]); 2] = [
    (
        Op::Read,
        &[Wrapper { name: "SSL_read", out: None }, Wrapper { name: "SSL_read_ex", out: Some(3) }],
    ),
    (
        Op::Write,
        &[
            Wrapper { name: "SSL_write", out: None },
            Wrapper { name: "SSL_write_ex", out: Some(3) },
            Wrapper { name: "SSL_write_ex2", out: Some(4) },
        ],
    ),
];

const LAYERED_ON: [(&str, &str); 4] = [
    // OpenSSL from 3.3 on
    ("SSL_write_ex", "SSL_write_ex2"),
    // LibreSSL and AWS-LC
    ("SSL_read_ex", "SSL_read"),
    ("SSL_write_ex", "SSL_write"),
    ("SSL_write_ex2", "SSL_write"),
];

const BUILT_ON: [(&str, &str); 2] =
    [("SSL_read_early_data", "SSL_read_ex"), ("SSL_write_early_data", "SSL_write_ex")];
