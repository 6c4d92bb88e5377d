//! What programs read, for records of every kind.

use crate::{commands, queries, samples, schema};
use serde_json::Value;
use sink::{Encoder as _, JsonEncoder, JsonOptions};
use std::collections::BTreeSet;

fn line(record: &event::Record<'_>, options: JsonOptions) -> String {
    let mut out = Vec::new();
    JsonEncoder::new(options).encode(record, &mut out);
    String::from_utf8(out).unwrap()
}

const OPTIONS: [JsonOptions; 4] = [
    JsonOptions { tsize: None, escape: false },
    JsonOptions { tsize: None, escape: true },
    JsonOptions { tsize: Some(5), escape: false },
    JsonOptions { tsize: Some(0), escape: true },
];

fn parsed(name: &str, options: JsonOptions) -> Value {
    let records = samples::all();
    let (_, record) = records.iter().find(|(candidate, _)| *candidate == name).unwrap();
    serde_json::from_str(&line(record, options)).unwrap()
}

#[test]
fn every_record_is_one_line_that_the_schema_accepts() {
    for options in OPTIONS {
        for (name, record) in samples::all() {
            let line = line(&record, options);
            assert_eq!(line.find('\n'), Some(line.len() - 1), "{name}: {line}");
            let value: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(schema::objection(&value), None, "{name}: {line}");
        }
    }
}

#[test]
fn the_schema_refuses_lines_that_are_wrong() {
    let data = parsed("data", OPTIONS[0]);
    let request = parsed("http_request", OPTIONS[0]);
    let refused = |mut line: Value, change: fn(&mut serde_json::Map<String, Value>)| {
        change(line.as_object_mut().unwrap());
        assert!(schema::objection(&line).is_some(), "accepted: {line}");
    };
    refused(data.clone(), |line| drop(line.remove("pid")));
    refused(data.clone(), |line| drop(line.remove("data")));
    refused(data.clone(), |line| drop(line.insert("data_b64".into(), "AAAA".into())));
    refused(data.clone(), |line| drop(line.insert("surprise".into(), 1.into())));
    refused(data.clone(), |line| drop(line.insert("kind".into(), "hole".into())));
    refused(data, |line| drop(line.insert("ts".into(), "2026-11-22 00:05:08".into())));
    refused(request.clone(), |line| drop(line.insert("truncated".into(), "why".into())));
    refused(request, |line| drop(line.insert("encoding".into(), "gzip".into())));
}

#[test]
fn escaping_for_a_terminal_changes_no_value() {
    for (name, record) in samples::all() {
        let [plain, escaped] = [OPTIONS[0], OPTIONS[1]].map(|options| line(&record, options));
        let [plain, shown] =
            [&plain, &escaped].map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert_eq!(plain, shown, "{name}");
        assert!(!escaped.trim_end().contains(|c: char| c.is_control()), "{name}: {escaped}");
    }
}

#[test]
fn tsize_cuts_the_payload_and_keeps_its_length() {
    let cut = parsed("http_response", JsonOptions { tsize: Some(3), escape: false });
    assert_eq!((&cut["body"], &cut["cut"], &cut["len"]), (&"hel".into(), &true.into(), &6.into()));
    let whole = parsed("http_response", JsonOptions { tsize: Some(6), escape: false });
    assert_eq!((&whole["body"], &whole["cut"]), (&"hello\n".into(), &Value::Null));
}

#[test]
fn a_cut_never_turns_text_into_base64() {
    // The body is {"name":"Zoë"}, and ë takes the bytes 11 and 12.
    let name = "request_http2_with_body_and_trailers";
    let cut = parsed(name, JsonOptions { tsize: Some(12), escape: false });
    assert_eq!((&cut["body"], &cut["cut"]), (&"{\"name\":\"Zo".into(), &true.into()));
}

const EVENTS_MD: &str = include_str!("../../../../docs/events.md");

#[test]
fn the_documented_lines_are_what_is_written() {
    let mut documented: BTreeSet<&str> = EVENTS_MD
        .split("```json\n")
        .skip(1)
        .filter_map(|block| block.split("```").next())
        .flat_map(str::lines)
        .collect();
    let records = samples::documented();
    let lines = records.iter().map(|(name, record)| (*name, line(record, OPTIONS[0])));
    let command = commands::json(&commands::documented(), OPTIONS[0]);
    let query = queries::json(&queries::documented(), OPTIONS[0]);
    for (name, line) in lines.chain([("command", command), ("query", query)]) {
        assert!(documented.remove(line.trim_end()), "docs/events.md lacks for {name}:\n{line}");
    }
    assert!(documented.is_empty(), "nothing writes these lines of docs/events.md: {documented:?}");
}

#[test]
fn every_field_of_the_schema_is_documented() {
    let mut names = BTreeSet::new();
    collect_names(&schema::SCHEMA, &mut names);
    assert!(names.len() > 50, "{names:?}");
    for name in names {
        let documented = name.strip_suffix("_b64").unwrap_or(&name);
        assert!(EVENTS_MD.contains(&format!("`{documented}`")), "docs/events.md lacks `{name}`");
    }
}

fn collect_names(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                names.extend(properties.keys().cloned());
            }
            members.values().for_each(|member| collect_names(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, names)),
        _ => {}
    }
}
