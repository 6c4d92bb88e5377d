//! What the examination found, and how it is written.

use serde::Serialize;
use std::fmt;

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be, or of no consequence.
    Ok,
    /// Capture works without it, but less well.
    Degraded,
    /// It isn't there.
    Missing,
}

impl Status {
    /// `ok`, `degraded` or `missing`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// The kernel's version and types.
    Kernel,
    /// What this process may do.
    Rights,
    /// Mounts and namespaces.
    Surroundings,
    /// Known faults of kernels.
    Hazards,
    /// What was tried.
    Hooks,
    /// Which libraries there are.
    Libraries,
}

impl Group {
    /// Its heading.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Rights => "rights",
            Self::Surroundings => "surroundings",
            Self::Hazards => "hazards",
            Self::Hooks => "hooks",
            Self::Libraries => "libraries",
        }
    }
}

/// One thing that was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is about.
    pub group: Group,
    /// What was examined.
    pub name: String,
    /// How it stands.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What follows, unless it is ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consequence: Option<String>,
    /// What to do about it, unless it is ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// True if there is no capture without it.
    pub essential: bool,
}

impl Line {
    pub(crate) fn ok(group: Group, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            group,
            name: name.into(),
            status: Status::Ok,
            detail: detail.into(),
            consequence: None,
            remedy: None,
            essential: false,
        }
    }

    pub(crate) fn degraded(
        group: Group,
        name: impl Into<String>,
        detail: impl Into<String>,
        consequence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status: Status::Degraded,
            consequence: Some(consequence.into()),
            remedy: Some(remedy.into()),
            ..Self::ok(group, name, detail)
        }
    }

    pub(crate) fn missing(
        group: Group,
        name: impl Into<String>,
        detail: impl Into<String>,
        consequence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { status: Status::Missing, ..Self::degraded(group, name, detail, consequence, remedy) }
    }

    pub(crate) fn essential(mut self) -> Self {
        self.essential = true;
        self
    }
}

/// All that was examined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// True if nothing that is essential is missing.
    pub can_capture: bool,
    /// In the order of groups.
    pub lines: Vec<Line>,
}

impl Report {
    pub(crate) fn new(lines: Vec<Line>) -> Self {
        let can_capture =
            !lines.iter().any(|line| line.essential && line.status == Status::Missing);
        Self { can_capture, lines }
    }
}

/// As text, for people: one line each, in columns, with what follows from it below.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        let mut group = None;
        let mut above = None;
        for line in &self.lines {
            if group.replace(line.group) != Some(line.group) {
                writeln!(f, "{}", line.group.as_str())?;
            }
            let (status, name, detail) = (line.status.as_str(), &line.name, &line.detail);
            let text = format!("  {status:8}  {name:width$}  {}", printable(detail));
            writeln!(f, "{}", text.trim_end())?;
            let remedy = line.remedy.as_deref();
            let repeated = remedy.is_some() && remedy == above;
            above = remedy.or(above);
            let remedy = if repeated { Some("as above") } else { remedy };
            for (label, text) in [("so", line.consequence.as_deref()), ("do", remedy)] {
                if let Some(text) = text {
                    writeln!(f, "            {:width$}  {label}: {}", "", printable(text))?;
                }
            }
        }
        let essential: Vec<&str> = self
            .lines
            .iter()
            .filter(|line| line.essential && line.status == Status::Missing)
            .map(|line| line.name.as_str())
            .collect();
        if self.can_capture {
            writeln!(f, "capture can work here")
        } else {
            writeln!(f, "capture cannot work here; missing: {}", essential.join(", "))
        }
    }
}

/// Paths and process names come from others: what a terminal would act on or hide is shown, not sent.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '\'' | '"' => shown.push(letter),
            _ => shown.extend(letter.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report::new(vec![
            Line::ok(Group::Kernel, "version", "Linux 6.18"),
            Line::degraded(Group::Kernel, "types", "none", "no addresses", "another kernel"),
            Line::missing(Group::Hooks, "uprobes", "EPERM", "no capture", "be root").essential(),
        ])
    }

    #[test]
    fn the_text_is_in_columns() {
        let expected = "\
kernel
  ok        version  Linux 6.18
  degraded  types    none
                     so: no addresses
                     do: another kernel
hooks
  missing   uprobes  EPERM
                     so: no capture
                     do: be root
capture cannot work here; missing: uprobes
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn a_remedy_is_written_once_when_it_repeats() {
        let line = |name: &str| Line::degraded(Group::Rights, name, "not held", "so", "be root");
        let text = Report::new(vec![line("a"), line("b")]).to_string();
        assert_eq!(text.matches("do: be root").count(), 1);
        assert_eq!(text.matches("do: as above").count(), 1);
    }

    #[test]
    fn only_what_is_essential_decides() {
        assert!(!report().can_capture);
        let mut lines = report().lines;
        lines[2].essential = false;
        let report = Report::new(lines);
        assert!(report.can_capture);
        assert!(report.to_string().ends_with("\ncapture can work here\n"));
    }

    #[test]
    fn json_has_the_same_words() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["can_capture"], false);
        assert_eq!(json["lines"][1]["status"], "degraded");
        assert_eq!(json["lines"][1]["consequence"], "no addresses");
        assert_eq!(json["lines"][0].get("remedy"), None);
        assert_eq!(json["lines"][2]["group"], "hooks");
    }

    #[test]
    fn what_a_terminal_would_act_on_or_hide_is_shown() {
        let line = Line::ok(Group::Libraries, "library", "/tmp/\x1b[2J\n\u{202e}'é\"\\漢");
        let text = Report::new(vec![line]).to_string();
        assert!(text.contains("/tmp/\\u{1b}[2J\\n\\u{202e}'é\"\\漢\n"), "{text}");
    }
}
