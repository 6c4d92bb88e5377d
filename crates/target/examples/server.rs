//! Prints the plan for a database server: `cargo run --example server FILE`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which file?")?;
    let bytes = std::fs::read(path)?;
    let options = target::ServerOptions::default();
    let plan = if target::carries_postgres(&bytes) {
        target::plan_postgres(&bytes, &options)?
    } else {
        target::plan_mysqld(&bytes, &options)?
    };
    println!("{plan:#?}");
    Ok(())
}
