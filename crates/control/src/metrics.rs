//! Numbers in the text format of Prometheus, version 0.0.4.

use std::fmt::Write as _;

/// What kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Numbers of one name.
#[derive(Debug, Clone)]
pub struct Metric {
    /// With the unit at its end; of a counter `_total`.
    pub name: &'static str,
    /// One line.
    pub help: &'static str,
    /// What kind.
    pub kind: Kind,
    /// Each with its labels, by which they differ.
    pub samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl Metric {
    /// One number without labels.
    pub fn single(name: &'static str, help: &'static str, kind: Kind, value: f64) -> Self {
        Self { name, help, kind, samples: vec![(Vec::new(), value)] }
    }
}

pub(crate) fn render(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for Metric { name, help, kind, samples } in metrics {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            text.push_str(name);
            for (number, (label, content)) in labels.iter().enumerate() {
                let before = if number == 0 { '{' } else { ',' };
                let _ = write!(text, "{before}{label}=\"{}\"", escape(content));
            }
            if !labels.is_empty() {
                text.push('}');
            }
            let _ = writeln!(text, " {value}");
        }
    }
    text
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let metric = Metric {
            name: "x_total",
            help: "X.",
            kind: Kind::Counter,
            samples: vec![(vec![("a", "q\"b\\c\nd".to_owned()), ("b", String::new())], 1.5)],
        };
        assert_eq!(
            render(&[metric, Metric::single("y", "Y.", Kind::Gauge, 3.0)]),
            "# HELP x_total X.\n# TYPE x_total counter\n\
             x_total{a=\"q\\\"b\\\\c\\nd\",b=\"\"} 1.5\n\
             # HELP y Y.\n# TYPE y gauge\ny 3\n"
        );
    }
}
