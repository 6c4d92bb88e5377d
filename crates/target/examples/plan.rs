//! Prints the plan for the ELF files named on the command line, one line per function.

use target::{Exit, Interface, Options, Placement};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Options::default();
    for path in std::env::args().skip(1) {
        match path.as_str() {
            "--entry" => options.placement = Placement::Entry,
            "--avoid-uretprobe" => options.avoid_uretprobe = true,
            _ => {
                let bytes = std::fs::read(&path)?;
                for interface in Interface::ALL {
                    if interface.test()(&bytes) {
                        print(&path, &bytes, interface, options);
                    }
                }
            }
        }
    }
    Ok(())
}

fn print(path: &str, bytes: &[u8], interface: Interface, options: Options) {
    let start = std::time::Instant::now();
    interface.test()(bytes);
    let quick = start.elapsed();
    let analysis = match interface.analyze(bytes, options) {
        Ok(analysis) => analysis,
        Err(error) => return println!("{path}: {error}"),
    };
    println!("{path}: tested in {quick:?}, analysed in {:?}", start.elapsed());
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
    println!("  {:?} {:?}", analysis.transport, analysis.object);
    for note in &analysis.notes {
        println!("  note: {note}");
    }
}
