//! Development tasks, run as `cargo xtask TASK`.

mod libs;

use anyhow::{Result, bail};

const USAGE: &str = "\
Usage: cargo xtask libs [NAME…]

Fetches or builds the real libraries that tests run over, into $ECAPTURE_LIBS/NAME
(~/.cache/ecapture/libs/NAME if that is not set). What is there already is left alone: delete a folder to fetch it anew.
Without a NAME, all of them; `cargo xtask libs --list` names them.
";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((task, rest)) if task == "libs" => libs::run(rest),
        Some((flag, _)) if flag == "--help" || flag == "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("{USAGE}"),
    }
}
