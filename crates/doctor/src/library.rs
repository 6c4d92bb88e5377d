//! The libraries that capture would attach to.

use crate::report::{Group, Line};
use std::path::PathBuf;

/// A library that capture would attach to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Its path.
    pub path: PathBuf,
    /// What it is, such as `OpenSSL 3.0.17`.
    pub description: String,
    /// The processes that were seen using it.
    pub pids: Vec<u32>,
}

pub(crate) fn lines(libraries: &[Library]) -> Vec<Line> {
    if libraries.is_empty() {
        return vec![Line::degraded(
            Group::Libraries,
            "libraries",
            "none found",
            "there is nothing to capture from yet; libraries that appear later are attached",
            "start the program that you want to see, or name its library with --libssl",
        )];
    }
    libraries
        .iter()
        .map(|library| {
            let users = match library.pids.len() {
                0 => "in no process now".to_owned(),
                1 => "in 1 process".to_owned(),
                count => format!("in {count} processes"),
            };
            let name = library.path.file_name().unwrap_or(library.path.as_os_str());
            Line::ok(
                Group::Libraries,
                name.to_string_lossy(),
                format!("{}, {}, {users}", library.description, library.path.display()),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Status;

    #[test]
    fn no_library_is_not_the_end() {
        let lines = lines(&[]);
        assert_eq!(lines[0].status, Status::Degraded);
        assert!(!lines[0].essential);
    }

    #[test]
    fn each_library_has_its_line() {
        let library = |pids| Library {
            path: "/usr/lib/libssl.so.3".into(),
            description: "OpenSSL 3.0.17".into(),
            pids,
        };
        let lines = lines(&[library(vec![]), library(vec![7]), library(vec![7, 8])]);
        let details: Vec<&str> = lines.iter().map(|line| line.detail.as_str()).collect();
        assert_eq!(
            details,
            [
                "OpenSSL 3.0.17, /usr/lib/libssl.so.3, in no process now",
                "OpenSSL 3.0.17, /usr/lib/libssl.so.3, in 1 process",
                "OpenSSL 3.0.17, /usr/lib/libssl.so.3, in 2 processes",
            ]
        );
        assert_eq!(lines[0].name, "libssl.so.3");
    }
}
