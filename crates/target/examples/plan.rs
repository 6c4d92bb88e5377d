//! Prints the plan for the ELF files named on the command line, one line per function.

use target::{Exit, Options, Placement};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Options::default();
    for path in std::env::args().skip(1) {
        match path.as_str() {
            "--entry" => options.placement = Placement::Entry,
            "--avoid-uretprobe" => options.avoid_uretprobe = true,
            _ => print(&path, options)?,
        }
    }
    Ok(())
}

fn print(path: &str, options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = std::fs::read(path)?;
    let start = std::time::Instant::now();
    let carries = target::carries_tls(&bytes);
    let quick = start.elapsed();
    let analysis = match target::analyze_with(&bytes, options) {
        Ok(analysis) => analysis,
        Err(error) => {
            println!("{path}: {error}; {:?}", target::libcrypto_layout(&bytes));
            return Ok(());
        }
    };
    println!("{path}: carries_tls {carries} in {quick:?}, analysed in {:?}", start.elapsed());
    println!(
        "  {:?} {:?} {:?} {:?} {:?}",
        analysis.machine, analysis.family, analysis.version, analysis.build_id, analysis.needed
    );
    for plan in &analysis.functions {
        let exits = match &plan.exit {
            Exit::Uretprobe => "uretprobe".to_owned(),
            Exit::Sites(sites) => format!("{} exit sites, {}", sites.len(), sites[0].instruction),
            Exit::NotNeeded => "-".to_owned(),
        };
        println!(
            "  {} | {:?} {:?} {:?} | {}{} | {exits}\n      {}",
            plan.name,
            plan.op,
            plan.result,
            plan.placement,
            plan.entry.instruction,
            if plan.entry.emulated { "" } else { " (stepped)" },
            plan.why
        );
    }
    println!("  {:?}\n  {:?}", analysis.ssl_layout, analysis.bio_layout);
    for note in &analysis.notes {
        println!("  note: {note}");
    }
    Ok(())
}
