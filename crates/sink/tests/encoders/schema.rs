//! `docs/events.schema.json`, ready to check lines with.

use jsonschema::Validator;
use serde_json::Value;
use std::sync::LazyLock;

pub(crate) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../docs/events.schema.json")).unwrap()
});

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft202012::new(&SCHEMA).unwrap());

/// What the schema has against the line, if anything.
pub(crate) fn objection(line: &Value) -> Option<String> {
    VALIDATOR.validate(line).err().map(|error| format!("{error} at {}", error.instance_path()))
}
