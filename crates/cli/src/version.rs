//! `ecapture --version`, in the form that scripts know.

/// `eCapture version:` and a tab, then operating system, architecture, version, and the kind of
/// kernel objects: always `[CORE]`, they fit every kernel.
pub fn version_line() -> String {
    format!("eCapture version:\t{}_{}:v{}:[CORE]", os(), architecture(), env!("CARGO_PKG_VERSION"))
}

fn os() -> &'static str {
    std::env::consts::OS
}

/// In the names that release files have always had.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_has_the_fields_that_scripts_split() {
        let line = version_line();
        let version = line.strip_prefix("eCapture version:\t").unwrap();
        let fields: Vec<&str> = version.split(':').collect();
        assert_eq!(fields.len(), 3, "{line}");
        assert!(["linux_amd64", "linux_arm64"].contains(&fields[0]), "{line}");
        assert_eq!(fields[1], format!("v{}", env!("CARGO_PKG_VERSION")));
    }
}
