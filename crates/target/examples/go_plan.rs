//! Prints the plan for a file built by Go: `cargo run -p target --example go_plan FILE`.

fn main() {
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        println!("{path}: carries_go {}", target::carries_go(&bytes));
        match target::analyze_go(&bytes, target::Placement::Auto) {
            Ok(analysis) => println!("{analysis:#?}"),
            Err(error) => println!("{error}"),
        }
    }
}
