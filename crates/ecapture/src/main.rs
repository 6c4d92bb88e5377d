//! The ecapture command.
fn main() {}
