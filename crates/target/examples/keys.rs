//! Prints where the ELF files named on the command line pass TLS secrets, and why that is believed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path)?;
        let start = std::time::Instant::now();
        let result = target::keys(&bytes);
        println!("{path}: {:?}", start.elapsed());
        match result {
            Ok(plan) => {
                for probe in &plan.probes {
                    println!("  {} {:x?}\n    {:x?}", probe.name, probe.entry, probe.source);
                }
                for evidence in &plan.evidence {
                    println!("  {evidence}");
                }
            }
            Err(error) => println!("  refused: {error}"),
        }
    }
    Ok(())
}
