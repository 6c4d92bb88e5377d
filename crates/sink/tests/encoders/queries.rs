//! Statements, as programs and as people read them.

use crate::samples::TS;
use crate::schema;
use event::{DatabaseSystem, Library, Outcome, Query, QueryOperation};
use proptest::prelude::*;
use serde_json::Value;
use sink::{Encoder as _, JsonEncoder, JsonOptions, TextEncoder, TextOptions};
use std::sync::Arc;
use std::time::Duration;

/// The one that stands in `docs/events.md`.
pub(crate) fn documented() -> Query {
    Query {
        ts: TS,
        pid: 901,
        tid: 955,
        uid: 110,
        comm: "mariadbd".into(),
        exe: Some("/usr/sbin/mariadbd".into()),
        server: Arc::new(Library { path: "/usr/sbin/mariadbd".to_owned(), build_id: None }),
        system: DatabaseSystem::MariaDb,
        operation: Some(QueryOperation::Query),
        connection: Some(31),
        user: Some("shop".to_owned()),
        schema: Some("orders".to_owned()),
        client: None,
        text: Some(b"select * from gone".to_vec()),
        incomplete: None,
        outcome: Outcome::Failed("1146".to_owned()),
        rows: None,
        duration: Some(Duration::from_nanos(1_234_567)),
    }
}

fn hostile() -> Query {
    Query {
        comm: "x\n\u{1b}[2J".into(),
        exe: None,
        system: DatabaseSystem::PostgreSql,
        operation: None,
        connection: None,
        user: Some("a, Schema:b\n".to_owned()),
        schema: None,
        client: Some("[local]".to_owned()),
        text: Some(b"select '\x1b]0;owned\x07'".to_vec()),
        incomplete: Some("lost"),
        outcome: Outcome::Unfinished,
        rows: Some(7),
        duration: None,
        ..documented()
    }
}

/// Of every kind, with everything and with nothing that is optional.
pub(crate) fn all() -> Vec<Query> {
    let operations = [QueryOperation::Prepare, QueryOperation::Bind, QueryOperation::Execute];
    let mut all: Vec<Query> = operations
        .map(|operation| Query {
            operation: Some(operation),
            system: DatabaseSystem::MySql,
            outcome: Outcome::Done,
            ..documented()
        })
        .into();
    let binary = Query { text: Some(b"select '\xff'".to_vec()), user: None, ..hostile() };
    let empty = Query { text: Some(Vec::new()), client: None, ..documented() };
    all.extend([documented(), hostile(), binary, empty, Query { text: None, ..documented() }]);
    all
}

pub(crate) fn json(query: &Query, options: JsonOptions) -> String {
    let mut out = Vec::new();
    JsonEncoder::new(options).query(query, &mut out);
    String::from_utf8(out).unwrap()
}

fn text(query: &Query, options: TextOptions) -> String {
    let mut out = Vec::new();
    TextEncoder::new(options).query(query, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_statement_reads_well() {
    assert_eq!(
        text(&documented(), TextOptions::default()),
        "2026-11-22T00:05:08.123456789Z PID:901, Comm:mariadbd, TID:955, UID:110, \
         Lib:/usr/sbin/mariadbd, Kind:query, System:mariadb, Op:query, Connection:31, User:shop, \
         Schema:orders, Len:18, Outcome:failed, Error:1146, after 1.2 ms\nselect * from gone\n\n"
    );
}

#[test]
fn a_terminal_is_not_driven_by_a_statement() {
    let options = TextOptions { escape: true, ..TextOptions::default() };
    assert_eq!(
        text(&hostile(), options),
        "2026-11-22T00:05:08.123456789Z PID:901, Comm:x\\n\\x1b[2J, TID:955, UID:110, \
         Lib:/usr/sbin/mariadbd, Kind:query, System:postgresql, Op:unknown, User:a, Schema:b\\n, \
         Client:[local], Len:19, Incomplete:lost, Outcome:unfinished, Rows:7\n\
         select '\\x1b]0;owned\\x07'\n\n"
    );
}

#[test]
fn a_statement_without_a_text_says_so() {
    let query = Query { text: None, ..documented() };
    let value: Value = serde_json::from_str(&json(&query, JsonOptions::default())).unwrap();
    assert_eq!(schema::objection(&value), None, "{value}");
    assert_eq!((&value["query"], &value["len"]), (&Value::Null, &0.into()));
    assert!(text(&query, TextOptions::default()).contains("Len:unknown"));
}

#[test]
fn a_cut_statement_says_so() {
    let line = json(&documented(), JsonOptions { tsize: Some(6), escape: false });
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(schema::objection(&value), None, "{line}");
    assert_eq!((&value["query"], &value["cut"]), (&"select".into(), &true.into()));
    assert_eq!(value["len"], 18);
}

proptest! {
    #[test]
    fn every_statement_is_one_line_that_holds_it(
        text in any::<Vec<u8>>(),
        user in proptest::option::of(any::<String>()),
        rows in any::<Option<u64>>(),
        escape in any::<bool>(),
    ) {
        let query = Query { text: Some(text.clone()), user, rows, ..hostile() };
        let json = json(&query, JsonOptions { tsize: None, escape });
        prop_assert_eq!(json.find('\n'), Some(json.len() - 1));
        let value: Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(schema::objection(&value), None);
        let held = match (&value["query"], &value["query_b64"]) {
            (Value::String(text), Value::Null) => text.clone().into_bytes(),
            (_, Value::String(base64)) => data_encoding::BASE64.decode(base64.as_bytes()).unwrap(),
            _ => panic!("{json}"),
        };
        prop_assert_eq!(held, text);
    }
}
