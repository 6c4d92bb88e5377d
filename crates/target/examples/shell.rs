//! Prints the plan for the shells named on the command line: KIND PATH….

use target::Shell;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let kind = match arguments.next().as_deref() {
        Some("bash") => Shell::Bash,
        Some("zsh") => Shell::Zsh,
        Some("readline") => Shell::Readline,
        _ => return Err("usage: shell bash|zsh|readline PATH…".into()),
    };
    for path in arguments {
        let bytes = std::fs::read(&path)?;
        let start = std::time::Instant::now();
        let is_shell = target::is_shell(&bytes, kind);
        println!("{path}: {is_shell} in {:?}", start.elapsed());
        println!("{:#?} after {:?}", target::analyze_shell(&bytes, kind), start.elapsed());
    }
    Ok(())
}
