//! Prints the analysis of the ELF files named on the command line.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path)?;
        let start = std::time::Instant::now();
        let carries = target::carries_tls(&bytes);
        let quick = start.elapsed();
        let analysis = target::analyze(&bytes, target::Placement::Auto)?;
        println!("{path}: carries_tls {carries} in {quick:?}, analysed in {:?}", start.elapsed());
        println!("{analysis:#?}");
    }
    Ok(())
}
