//! The command line, flag by flag.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use cli::{
    BtfMode, CaptureConfig, Color, Command, ControlConfig, DatabaseKind, Exit, Format, Global,
    InspectTarget, MODULES, PacketConfig, Place, Placement, Rotate, TlsConfig, TlsFamily,
};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

fn parse(line: &str) -> Result<Command, Exit> {
    let words = std::iter::once("ecapture").chain(line.split_whitespace());
    cli::parse(words.map(OsString::from))
}

fn tls(line: &str) -> TlsConfig {
    match parse(line) {
        Ok(Command::Tls(config)) => *config,
        other => panic!("{line}: {other:?}"),
    }
}

fn error(line: &str) -> String {
    let exit = parse(line).expect_err(line);
    assert_eq!((exit.code, exit.to_stdout), (1, false), "{line}: {}", exit.text);
    exit.text
}

fn global(command: Command) -> Global {
    match command {
        Command::Tls(config) => config.global,
        Command::Shell(config) => config.global,
        Command::Database(config) => config.global,
        Command::Inspect(config) => config.global,
        Command::Doctor(config) => config.global,
        Command::Completion(_) | Command::Man(_) => panic!("{command:?} has none"),
    }
}

#[test]
fn the_table_is_sound() {
    cli::clap_command().debug_assert();
}

#[test]
fn the_defaults_are_the_old_ones() {
    let config = tls("tls");
    let expected = Global {
        debug: false,
        quiet: false,
        log_file: None,
        btf: BtfMode::Auto,
        hex: false,
        tsize: None,
        buffer_bytes_per_cpu: 4 << 20,
        pids: Vec::new(),
        uid: None,
        control: ControlConfig::default(),
    };
    assert_eq!(config.global, expected);
    let expected = CaptureConfig {
        format: Format::Text,
        output: None,
        color: Color::Auto,
        cgroup: None,
        duration: None,
        count: None,
        summary: None,
        strict: false,
        program: Vec::new(),
    };
    assert_eq!(config.capture, expected);
    assert_eq!(config.placement, Placement::Auto);
    assert_eq!(config.family, TlsFamily::OpenSsl);
    assert!(config.text && config.parse && config.keylog.is_none() && config.packets.is_none());
    assert!(config.files.is_empty() && config.notes.is_empty());
}

type Check<T> = (&'static str, fn(&T) -> bool);

#[rustfmt::skip]
const GLOBAL_FLAGS: &[Check<Global>] = &[
    ("-d", |global| global.debug),
    ("--debug", |global| global.debug),
    ("--debug=true", |global| global.debug),
    ("--debug=false", |global| !global.debug),
    ("-q", |global| global.quiet),
    ("--quiet", |global| global.quiet),
    ("-b 1", |global| global.btf == BtfMode::Core),
    ("--btf=2", |global| global.btf == BtfMode::NonCore),
    ("--btf 0", |global| global.btf == BtfMode::Auto),
    ("--hex", |global| global.hex),
    ("--hex=1", |global| global.hex),
    ("--hex=F", |global| !global.hex),
    ("--mapsize 1024", |global| global.buffer_bytes_per_cpu == 4 << 20),
    ("--mapsize=16", |global| global.buffer_bytes_per_cpu == 64 << 10),
    ("--mapsize 262144", |global| global.buffer_bytes_per_cpu == 1 << 30),
    ("--mapsize 5000", |global| global.buffer_bytes_per_cpu == 5000 * 4096),
    ("-p 77", |global| global.pids == [77]),
    ("-p77", |global| global.pids == [77]),
    ("--pid=77", |global| global.pids == [77]),
    ("--pid 77,5", |global| global.pids == [5, 77]),
    ("-p 77 --pid 5,77", |global| global.pids == [5, 77]),
    ("--pid 4194304", |global| global.pids == [4_194_304]),
    ("--pid 0", |global| global.pids.is_empty()),
    ("-u 1000", |global| global.uid == Some(1000)),
    ("--uid=4294967294", |global| global.uid == Some(4_294_967_294)),
    ("--uid 0", |global| global.uid.is_none()),
    ("--uid root", |global| global.uid == Some(0)),
    ("-t 100", |global| global.tsize.is_some_and(|size| size.get() == 100)),
    ("--tsize=18446744073709551615", |global| global.tsize.is_some_and(|size| size.get() == u64::MAX)),
    ("--tsize 0", |global| global.tsize.is_none()),
    ("-l run.log", |global| global.log_file.as_deref() == Some(Path::new("run.log"))),
    ("--logaddr=/var/log/ecapture.log", |global| global.log_file.as_deref() == Some(Path::new("/var/log/ecapture.log"))),
    ("--logaddr=", |global| global.log_file.is_none()),
    ("--eventaddr=", |global| global.log_file.is_none()),
    ("--listen=", |global| global.log_file.is_none()),
    ("--ecaptureq=", |global| global.log_file.is_none()),
    ("--eventroratesize 0 --eventroratetime 0", |global| global.log_file.is_none()),
];

#[test]
fn global_flags_stand_before_or_after_any_command() {
    for (flag, holds) in GLOBAL_FLAGS {
        for command in ["tls", "inspect /bin/true", "doctor"] {
            for line in [format!("{flag} {command}"), format!("{command} {flag}")] {
                let command = parse(&line).unwrap_or_else(|exit| panic!("{line}: {}", exit.text));
                let global = global(command);
                assert!(holds(&global), "{line}: {global:?}");
            }
        }
    }
}

#[test]
fn what_stands_before_and_after_the_command_is_joined() {
    let global = tls("-p 1 -u 5 -d tls -p 2 --uid 6 --hex").global;
    assert_eq!((global.pids, global.uid), (vec![1, 2], Some(6)));
    assert!(global.debug && global.hex);
}

#[test]
fn of_a_repeated_flag_the_last_counts() {
    assert_eq!(tls("tls -t 1 -t 2").global.tsize.unwrap().get(), 2);
    assert!(tls("tls --strict --strict").capture.strict);
}

fn goes_to(keylog: Option<&Place>, path: &str) -> bool {
    keylog == Some(&Place::File(path.into()))
}

fn packets(config: &TlsConfig) -> &PacketConfig {
    config.packets.as_ref().expect("packets are wanted")
}

#[rustfmt::skip]
const TLS_FLAGS: &[Check<TlsConfig>] = &[
    ("--libssl /a/libssl.so.3", |tls| tls.files == [Path::new("/a/libssl.so.3")]),
    ("--libssl=/a --libssl b", |tls| tls.files == [Path::new("/a"), Path::new("b")]),
    ("--libssl=", |tls| tls.files.is_empty()),
    ("-m text", |tls| tls.text && tls.keylog.is_none() && tls.packets.is_none()),
    ("--model=text", |tls| tls.text),
    ("--mode text", |tls| tls.text),
    ("--har a.har", |tls| tls.har.as_deref() == Some(Path::new("a.har"))),
    ("-m keylog", |tls| !tls.text && goes_to(tls.keylog.as_ref(), "ecapture_openssl_key.log")),
    ("-m key --keylogfile k.log", |tls| goes_to(tls.keylog.as_ref(), "k.log")),
    ("-m keylog -k -", |tls| tls.keylog == Some(Place::Stdout)),
    ("-m text,keylog", |tls| tls.text && tls.keylog.is_some() && tls.packets.is_none()),
    ("-m text -m pcapng,keylog", |tls| tls.text && tls.keylog.is_some() && tls.packets.is_some()),
    ("-m pcap -k k.log", |tls| tls.packets.is_some() && goes_to(tls.keylog.as_ref(), "k.log")),
    ("-m text,keylog -k - -o text.log", |tls| tls.keylog == Some(Place::Stdout)),
    ("-m pcap", |tls| packets(tls).place == Place::File("save.pcapng".into()) && !tls.text && tls.keylog.is_none()),
    ("-m pcapng -w a.pcapng", |tls| packets(tls).place == Place::File("a.pcapng".into())),
    ("-m pcap -w -", |tls| packets(tls).place == Place::Stdout),
    ("-m pcap", |tls| packets(tls).interfaces.is_empty() && packets(tls).filter.is_none()),
    ("-m pcap -i eth0 --ifname lo", |tls| packets(tls).interfaces == ["eth0", "lo"]),
    ("-m pcap -i any", |tls| packets(tls).interfaces.is_empty()),
    ("-m pcap -i lo tcp port 443", |tls| packets(tls).filter.as_deref() == Some("tcp port 443")),
    ("-m pcap --snaplen 96", |tls| packets(tls).snaplen.is_some_and(|len| len.get() == 96)),
    ("-m pcap --snaplen 0", |tls| packets(tls).snaplen.is_none()),
    ("-m pcap --pcap-rotate-size 5", |tls| packets(tls).rotate.bytes.is_some_and(|bytes| bytes.get() == 5_000_000)),
    ("-m pcap --pcap-rotate-time 30s --pcap-keep 3", |tls| packets(tls).rotate.time == Some(Duration::from_secs(30)) && packets(tls).rotate.keep.is_some()),
    ("-m pcap", |tls| packets(tls).rotate == Rotate::default()),
    ("-m keylog --ssl_version boringssl_a_14", |tls| tls.ssl_version.as_deref() == Some("boringssl_a_14")),
    ("--placement auto", |tls| tls.placement == Placement::Auto),
    ("--placement=entry", |tls| tls.placement == Placement::Entry),
    ("--format json", |tls| tls.capture.format == Format::Json),
    ("--format=text", |tls| tls.capture.format == Format::Text),
    ("-o out.json", |tls| tls.capture.output.as_deref() == Some(Path::new("out.json"))),
    ("--output=out.json", |tls| tls.capture.output.as_deref() == Some(Path::new("out.json"))),
    ("--output -", |tls| tls.capture.output.is_none()),
    ("--color always", |tls| tls.capture.color == Color::Always),
    ("--color=never", |tls| tls.capture.color == Color::Never),
    ("--no-parse", |tls| !tls.parse),
    ("--cgroup_path /sys/fs/cgroup/a", |tls| tls.capture.cgroup.as_deref() == Some(Path::new("/sys/fs/cgroup/a"))),
    ("--cgroup-path=/sys/fs/cgroup/a", |tls| tls.capture.cgroup.as_deref() == Some(Path::new("/sys/fs/cgroup/a"))),
    ("--cgroup_path=", |tls| tls.capture.cgroup.is_none()),
    ("--duration 10s", |tls| tls.capture.duration == Some(Duration::from_secs(10))),
    ("--duration 500ms", |tls| tls.capture.duration == Some(Duration::from_millis(500))),
    ("--duration=2m", |tls| tls.capture.duration == Some(Duration::from_mins(2))),
    ("--duration 1.5h", |tls| tls.capture.duration == Some(Duration::from_mins(90))),
    ("--count 1", |tls| tls.capture.count.is_some_and(|count| count.get() == 1)),
    ("--summary s.json", |tls| tls.capture.summary.as_deref() == Some(Path::new("s.json"))),
    ("--strict", |tls| tls.capture.strict),
    ("--perf-reorder", |tls| tls.notes.len() == 1 && tls.notes[0].contains("--perf-reorder")),
    ("--perf-reorder=true --perf-reorder-lag-ms 10", |tls| tls.notes.len() == 1),
    ("--perf-reorder=false", |tls| tls.notes.is_empty()),
    ("--ifname= --ssl_version=", |tls| tls.notes.is_empty()),
    ("-- curl -v --hex=true -p 1", |tls| tls.capture.program == ["curl", "-v", "--hex=true", "-p", "1"]),
];

#[test]
fn flags_of_tls_do_what_they_say() {
    for (flags, holds) in TLS_FLAGS {
        for command in ["tls", "openssl"] {
            let config = tls(&format!("{command} {flags}"));
            assert!(holds(&config), "{command} {flags}: {config:?}");
        }
    }
}

/// A command line, and what its error must tell: the flag, the value, and why.
#[rustfmt::skip]
const REJECTED: &[(&str, &[&str])] = &[
    ("tls --pid x", &["--pid", "'x'", "whole number from 1 to 4194304"]),
    ("tls --pid -1", &["--pid", "'-1'", "whole number"]),
    ("tls -p 4194305", &["--pid", "'4194305'", "4194304"]),
    ("tls --pid 1,,2", &["--pid", "''", "whole number"]),
    ("tls --pid 0,5", &["--pid 0", "every process"]),
    ("-p 0 tls -p 5", &["--pid 0", "every process"]),
    ("tls --pid", &["--pid", "a value is required"]),
    ("tls --uid -1", &["--uid", "'-1'", "whole number"]),
    ("tls --uid 4294967295", &["--uid", "'4294967295'", "below"]),
    ("tls --uid no-such-user-here", &["--uid", "no-such-user-here", "no user of this name"]),
    ("tls --btf 3", &["--btf", "'3'", "3 is not in 0..=2"]),
    ("tls -b auto", &["--btf", "'auto'"]),
    ("tls --mapsize 15", &["--mapsize", "'15'", "from 16 (64 KiB) to 262144 (1 GiB)"]),
    ("tls --mapsize 262145", &["--mapsize", "'262145'", "262144"]),
    ("tls --mapsize -1", &["--mapsize", "'-1'"]),
    ("tls --mapsize 4M", &["--mapsize", "'4M'", "4 KiB pages"]),
    ("tls --tsize -1", &["--tsize", "'-1'"]),
    ("tls --tsize 1k", &["--tsize", "'1k'"]),
    ("tls --hex=maybe", &["--hex", "maybe"]),
    ("tls --hex --format json", &["--hex", "--format json", "base64"]),
    ("-d tls -q", &["--debug", "--quiet"]),
    ("tls --model pcapngg", &["--model", "'pcapngg'", "text, keylog, pcap"]),
    ("tls --format xml", &["--format", "'xml'", "text, json"]),
    ("tls --placement ret", &["--placement", "'ret'", "auto, entry"]),
    ("tls --color red", &["--color", "'red'", "auto, always, never"]),
    ("tls --duration 10", &["--duration", "'10'", "a number and a unit"]),
    ("tls --duration 0s", &["--duration", "'0s'", "from 1ms"]),
    ("tls --duration s", &["--duration", "'s'", "a number and a unit"]),
    ("tls --duration 1..5s", &["--duration", "'1..5s'", "a number and a unit"]),
    ("tls --duration 99999h", &["--duration", "'99999h'", "a year"]),
    ("tls --count 0", &["--count", "'0'", "from 1 on"]),
    ("tls --count -5", &["--count", "'-5'", "from 1 on"]),
    ("tls --eventroratesize 65536", &["--eventroratesize", "'65536'"]),
    ("tls --logaddr udp://h:1", &["--logaddr", "udp://h:1", "tcp://HOST:PORT"]),
    ("tls --eventaddr tcp://host", &["--eventaddr", "tcp://host", "HOST:PORT"]),
    ("tls --eventaddr tcp://host:0", &["--eventaddr", "tcp://host:0", "1 to 65535"]),
    ("tls --ecaptureq http://h:1/", &["--ecaptureq", "http://h:1/", "ws://HOST:PORT/"]),
    ("tls --listen 28256", &["--listen", "28256", "HOST:PORT"]),
    ("tls --pid 5 -- curl", &["--pid", "PROGRAM"]),
    ("tls curl https://example.com", &["curl https://example.com", "put -- before it"]),
    ("tls tcp port 443", &["tcp port 443", "--model pcap"]),
    ("tls -m keylog --har a.har", &["--har", "--model text"]),
    ("tls --no-parse --har a.har", &["--har", "--no-parse"]),
    ("tls -k k.log", &["--keylogfile", "--model keylog"]),
    ("tls --pcapfile a.pcapng", &["--pcapfile", "--model pcap"]),
    ("tls -m keylog -i eth0", &["--ifname", "--model pcap"]),
    ("tls -m keylog tcp port 443", &["tcp port 443", "--model pcap"]),
    ("tls --ssl_version boringssl_a_14", &["--ssl_version", "needs no version"]),
    ("tls -m text,keylog -k -", &["standard output", "plaintext", "--keylogfile -"]),
    ("tls -m keylog,pcap -k - -w -", &["standard output", "--pcapfile -"]),
    ("tls -m keylog -o out.log", &["--output", "--keylogfile"]),
    ("tls -m pcap --pcap-keep 3", &["--pcap-keep", "--pcap-rotate-size"]),
    ("tls -m pcap --pcap-rotate-size 0", &["--pcap-rotate-size", "from 1 on"]),
    ("tls -m pcap -w - --pcap-rotate-size 5", &["standard output", "rotated"]),
    ("tls -m pcap --snaplen -1", &["--snaplen", "'-1'"]),
    ("tls --no-pares", &["--no-pares", "--no-parse"]),
    ("inspect", &["PATH|PID"]),
    ("inspect a b", &["'b'"]),
    ("completion tcsh", &["tcsh", "bash", "fish"]),
    ("inspekt x", &["inspekt", "inspect"]),
    ("tl", &["tl"]),
];

#[test]
fn errors_name_the_flag_the_value_and_the_reason() {
    for (line, told) in REJECTED {
        let text = error(line);
        for word in *told {
            assert!(text.contains(word), "{line}: {word:?} is not in\n{text}");
        }
        assert!(text.starts_with("error: ") && text.contains("--help"), "{line}:\n{text}");
    }
}

#[test]
fn servers_are_off_unless_asked_for_and_then_as_told() {
    let control = |line| tls(line).global.control;
    assert_eq!(control("tls --listen= --ecaptureq="), ControlConfig::default());
    let line = "tls --listen localhost:28256 --ecaptureq ws://127.0.0.1:28257/ --token-file t --no-token \
                --tls-cert c --tls-key k --allow-host a --allow-host b --allow-origin http://o";
    let expected = ControlConfig {
        listen: Some("localhost:28256".to_owned()),
        ecaptureq: Some("127.0.0.1:28257".to_owned()),
        token_file: Some("t".into()),
        no_token: true,
        insecure: false,
        tls: Some(("c".into(), "k".into())),
        hosts: vec!["a".to_owned(), "b".to_owned()],
        origins: vec!["http://o".to_owned()],
    };
    assert_eq!(control(line), expected);
}

#[test]
fn flags_of_servers_without_a_server_are_refused() {
    for flags in ["--token-file t", "--insecure", "--tls-cert c --tls-key k", "--allow-host h"] {
        let text = error(&format!("tls {flags}"));
        assert!(text.contains("goes with --listen or --ecaptureq only"), "{flags}: {text}");
    }
    assert!(error("tls --listen h:1 --no-token").contains("--no-token"));
    assert!(error("tls --listen h:1 --tls-cert c").contains("--tls-key"));
}

/// Flags of the old command line that cannot be done yet, and the name in the error.
#[rustfmt::skip]
const NOT_YET: &[(&str, &str)] = &[
    ("tls --logaddr tcp://127.0.0.1:8090", "--logaddr"),
    ("tls -l ws://127.0.0.1:8090/log", "--logaddr"),
    ("--eventaddr events.log tls", "--eventaddr"),
    ("tls --eventaddr wss://host:1/x", "--eventaddr"),
    ("tls --eventroratesize 1", "--eventroratesize"),
    ("tls --eventroratetime 1", "--eventroratetime"),
];

#[test]
fn what_is_not_available_yet_says_so_by_name() {
    for (line, name) in NOT_YET {
        let text = error(line);
        let told = format!("error: {name}");
        assert!(text.starts_with(&told) && text.contains("not available yet"), "{line}:\n{text}");
    }
}

#[test]
fn commands_are_known_by_alias_and_unambiguous_prefix() {
    let names =
        |line: &str| match parse(line).unwrap_or_else(|exit| panic!("{line}: {}", exit.text)) {
            Command::Tls(_) => "tls",
            Command::Shell(_) => "a shell",
            Command::Database(_) => "a database",
            Command::Inspect(_) => "inspect",
            Command::Doctor(_) => "doctor",
            Command::Completion(_) => "completion",
            Command::Man(_) => "man",
        };
    assert_eq!(names("tls"), "tls");
    assert_eq!(names("openssl"), "tls");
    assert_eq!(names("op"), "tls");
    assert_eq!(names("mys"), "a database");
    assert_eq!(names("ins 1"), "inspect");
    assert_eq!(names("d"), "doctor");
    assert_eq!(names("comp zsh"), "completion");
    assert_eq!(names("man /tmp"), "man");
}

#[test]
fn modules_of_other_versions_are_known_and_declined() {
    for module in MODULES.iter().filter(|module| !module.available) {
        for name in [&[module.name], module.aliases].concat() {
            for rest in ["", " --help", " -e /bin/x --pid 5", " -m /usr/sbin/mariadbd --offset 0x1"]
            {
                let text = error(&format!("{name}{rest}"));
                let told = format!("error: '{}' (", module.name);
                assert!(text.starts_with(&told), "{name}{rest}: {text}");
                assert!(text.contains("not available in this version"), "{name}{rest}: {text}");
            }
        }
    }
}

#[test]
fn a_database_server_its_function_and_its_place_are_given() {
    let database = |line: &str| match parse(line) {
        Ok(Command::Database(config)) => *config,
        other => panic!("{line}: {other:?}"),
    };
    let mysqld = database("mysqld -m /usr/sbin/mysqld --mysqld /opt/mysqld -f do --offset 0x7d0");
    assert_eq!(mysqld.database, DatabaseKind::Mysqld);
    assert_eq!(mysqld.files, [Path::new("/usr/sbin/mysqld"), Path::new("/opt/mysqld")]);
    assert_eq!((mysqld.function.as_deref(), mysqld.offset), (Some("do"), Some(0x7d0)));
    let postgres = database("postgres -m /usr/bin/postgres --funcname exec_simple_query -p 7");
    assert_eq!(postgres.database, DatabaseKind::Postgres);
    assert_eq!(postgres.files, [Path::new("/usr/bin/postgres")]);
    assert_eq!(postgres.function.as_deref(), Some("exec_simple_query"));
    assert_eq!(postgres.global.pids, [7]);
}

#[test]
fn the_registry_and_the_commands_agree() {
    let command = cli::clap_command();
    for module in &MODULES {
        let found = command.find_subcommand(module.name).unwrap();
        assert_eq!(found.get_all_aliases().collect::<Vec<_>>(), module.aliases, "{}", module.name);
        assert_eq!(found.is_hide_set(), !module.available, "{}", module.name);
    }
}

#[test]
fn inspect_tells_a_process_from_a_file() {
    let target = |line: &str| match parse(line) {
        Ok(Command::Inspect(config)) => config.target,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(target("inspect 1234"), InspectTarget::Pid(1234));
    assert_eq!(target("inspect ./1234"), InspectTarget::Path("./1234".into()));
    assert_eq!(target("inspect /usr/bin/curl"), InspectTarget::Path("/usr/bin/curl".into()));
    assert_eq!(target("inspect 99999999"), InspectTarget::Path("99999999".into()));
    let Ok(Command::Inspect(config)) = parse("inspect --format json x") else { panic!() };
    assert_eq!(config.format, Format::Json);
}

#[test]
fn file_names_and_programs_need_not_be_utf8() {
    use std::os::unix::ffi::OsStringExt as _;
    let odd = || OsString::from_vec(b"/tmp/caf\xe9".to_vec());
    let words = ["ecapture", "tls", "--libssl"].map(OsString::from).into_iter();
    let words = words.chain([odd(), "-o".into(), odd(), "--".into(), odd()]);
    let Ok(Command::Tls(config)) = cli::parse(words) else { panic!() };
    assert_eq!(config.files, [odd()]);
    assert_eq!(config.capture.output, Some(odd().into()));
    assert_eq!(config.capture.program, [odd()]);
}

#[test]
fn version_and_help_go_to_stdout_with_status_0() {
    for line in ["-v", "--version", "-v tls"] {
        let exit = parse(line).unwrap_err();
        assert_eq!((exit.code, exit.to_stdout), (0, true));
        assert_eq!(exit.text, format!("{}\n", cli::version_line()));
    }
    for line in ["-h", "--help", "help", "tls -h", "help tls", "tls --help", "help openssl"] {
        let exit = parse(line).unwrap_err();
        assert_eq!((exit.code, exit.to_stdout), (0, true), "{line}: {}", exit.text);
    }
}

#[test]
fn no_command_shows_the_help_as_an_error() {
    for line in ["", "-d"] {
        let text = error(line);
        assert!(text.contains("Usage: ecapture [OPTIONS] [COMMAND]"), "{text}");
    }
}

#[test]
fn every_command_has_examples_and_they_are_right() {
    for command in ["", "tls", "inspect", "doctor", "completion", "man"] {
        let help = parse(&format!("{command} --help")).unwrap_err().text;
        let (_, examples) = help.split_once("EXAMPLES:\n").expect(command);
        assert!(examples.lines().count() >= 1, "{command}");
        for example in examples.lines() {
            // A remark follows after several spaces, a redirection after > or |.
            let line = example.trim().split("  ").next().unwrap().split(['>', '|']).next().unwrap();
            let line = line.strip_prefix("ecapture ").expect(example).trim();
            // Users differ from machine to machine.
            let line = line.replace("www-data", "root");
            if let Err(exit) = parse(&line) {
                panic!("{example}: {}", exit.text);
            }
        }
    }
}

#[test]
fn help_speaks_of_no_flag_that_cannot_be_used() {
    let help = parse("tls --help").unwrap_err().text;
    for flag in ["--eventrorate", "--perf-reorder"] {
        assert!(!help.contains(flag), "{flag}");
    }
}

#[test]
fn completions_know_commands_and_flags() {
    use cli::Shell;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
        let mut script = Vec::new();
        cli::write_completion(shell, &mut script).unwrap();
        let script = String::from_utf8(script).unwrap();
        for word in ["inspect", "libssl", "placement", "cgroup_path"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn there_is_a_man_page_for_each_command_that_can_be_used() {
    let dir = tempfile::tempdir().unwrap();
    cli::write_man_pages(dir.path()).unwrap();
    let mut pages: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    let modules = cli::MODULES.iter().filter(|module| module.available).map(|module| module.name);
    let mut expected: Vec<String> = ["completion", "doctor", "inspect"]
        .into_iter()
        .chain(modules)
        .map(|name| format!("ecapture-{name}.1"))
        .collect();
    expected.push("ecapture.1".to_owned());
    expected.sort();
    assert_eq!(pages, expected);
    let page = std::fs::read_to_string(dir.path().join("ecapture-tls.1")).unwrap();
    assert!(page.contains("EXAMPLES") && page.contains("libssl"), "{page}");
}
