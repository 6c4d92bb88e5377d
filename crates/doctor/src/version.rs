//! Kernel versions, down to the stable release: faults come and go with those.

use std::fmt;

/// A kernel's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u16, pub(crate) u16, pub(crate) u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// The upstream version of a running kernel. Debian and Ubuntu name their kernels by the ABI
    /// (`6.1.0-18-amd64`); the stable release is then in `uname -v` (`Debian 6.1.76-1`) or in
    /// `/proc/version_signature` (`Ubuntu 6.8.0-31.31-generic 6.8.1`).
    pub(crate) fn of_kernel(release: &str, build: &str, signature: Option<&str>) -> Option<Self> {
        let ubuntu = || Self::leading(signature?.split_ascii_whitespace().nth(2)?);
        let debian = || Self::leading(build.split_once("Debian ")?.1);
        ubuntu().or_else(debian).or_else(|| Self::leading(release))
    }

    /// The version that a text begins with; a missing third number is 0.
    fn leading(text: &str) -> Option<Self> {
        let end = text.find(|letter: char| letter != '.' && !letter.is_ascii_digit());
        let mut numbers = text.get(..end.unwrap_or(text.len()))?.split('.');
        let (major, minor) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        let patch = numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        Some(Self(major, minor, patch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn distributions_hide_the_stable_release_in_different_places() {
        let of = Version::of_kernel;
        assert_eq!(of("6.18.44-fc-v669", "#1 SMP", None), Some(Version(6, 18, 44)));
        assert_eq!(
            of("6.1.0-18-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)", None),
            Some(Version(6, 1, 76))
        );
        assert_eq!(
            of("6.8.0-31-generic", "#31-Ubuntu SMP", Some("Ubuntu 6.8.0-31.31-generic 6.8.1\n")),
            Some(Version(6, 8, 1))
        );
        assert_eq!(of("5.10-android", "#1", None), Some(Version(5, 10, 0)));
        assert_eq!(of("6.12.12+deb13-amd64", "#1 SMP Debian x", None), Some(Version(6, 12, 12)));
        assert_eq!(of("next", "", None), None);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(Version(6, 9, 99) < Version(6, 10, 0));
        assert!(Version(5, 15, 0) < Version(6, 0, 0));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(release in ".{0,20}", build in ".{0,30}", sign in ".{0,30}") {
            let _ = Version::of_kernel(&release, &build, Some(&sign));
        }
    }
}
