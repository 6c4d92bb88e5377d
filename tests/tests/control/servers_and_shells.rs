//! Changes while statements are executed and commands are typed: each is captured once.

use super::Served;
use super::modules::change_while;
use e2e::database::statement::{self, Query};
use e2e::database::{mysql, postgres};
use e2e::shells::{Shell, commands};
use e2e::{Captured, Payload, Scratch, cgroup, needs_bpf};
use serde_json::json;

/// What one client had executed while the capture changed: each statement once, in order.
fn assert_statements(
    captured: &Captured,
    mine: impl Fn(&Query) -> bool,
    sent: &[(String, String)],
) {
    captured.assert_whole();
    let statements = statement::read(&captured.stdout);
    let seen: Vec<(String, String)> = statements
        .into_iter()
        .filter(mine)
        .map(|query| {
            assert_eq!((query.outcome.as_str(), &query.incomplete), ("done", &None), "{query:?}");
            (query.op.unwrap_or_default(), query.query.unwrap_or_default())
        })
        .collect();
    let first = seen.iter().zip(sent).find(|(seen, sent)| seen != sent);
    assert_eq!((seen.len(), first), (sent.len(), None));
}

#[test]
fn changes_miss_no_statement_of_postgresql() {
    needs_bpf!();
    let scratch = Scratch::new();
    let server = postgres::Server::start(&scratch, "trixie");
    let running = Served::of("postgres", &scratch, &["--format", "json"]);
    let mut client = server.connect();
    let backend = client.backend;
    let cycle = [
        json!({ "PostgresPath": server.file() }),
        json!({ "cgroup_path": cgroup::root() }),
        json!({ "pid": backend }),
        json!({ "cgroup_path": "", "postgrespath": "" }),
        json!({ "pid": 0 }),
    ];
    let mut sent = Vec::new();
    let replaced = change_while(&running, &cycle, 10, || {
        let number = sent.len();
        let (text, name) = (format!("select {number}"), format!("s{number}"));
        client.query(&text).unwrap();
        client.prepare(&name, &text).unwrap();
        client.execute(&name).unwrap();
        let operations = ["query", "prepare", "bind", "execute"];
        sent.extend(operations.map(|operation| (operation.to_owned(), text.clone())));
    });
    assert_eq!(replaced, 8);
    drop(client);
    let captured = running.capture.stop();
    assert_statements(&captured, |query| u64::from(query.pid) == backend, &sent);
}

#[test]
fn changes_miss_no_statement_of_mariadb() {
    needs_bpf!();
    let scratch = Scratch::new();
    let server = mysql::Server::start(&scratch, "trixie");
    let running = Served::of("mysqld", &scratch, &["--format", "json"]);
    let mut client = server.connect();
    let (pid, connection) = (server.pid(), client.connection);
    let cycle = [
        json!({ "MysqldPath": server.file() }),
        json!({ "cgroup_path": cgroup::root() }),
        json!({ "pid": pid }),
        json!({ "cgroup_path": "", "mysqldpath": "" }),
        json!({ "pid": 0 }),
    ];
    let mut sent = Vec::new();
    let replaced = change_while(&running, &cycle, 10, || {
        let text = format!("select {}", sent.len());
        let mut note = |operation: &str| sent.push((operation.to_owned(), text.clone()));
        for _ in 0..20 {
            client.query(&text).unwrap();
            note("query");
        }
        let statement = client.prepare(&text).unwrap();
        client.execute(statement).unwrap();
        client.close(statement);
        note("prepare");
        note("execute");
    });
    assert_eq!(replaced, 8);
    drop(client);
    let captured = running.capture.stop();
    let mine = |query: &Query| query.pid == pid && query.connection == Some(connection);
    assert_statements(&captured, mine, &sent);
}

/// What is typed into a shell while the capture changes: each command once, with its own status.
fn assert_shell_misses_nothing(name: &'static str) {
    let scratch = Scratch::new();
    let shell = Shell::of("trixie", name);
    let mut terminal = shell.start(&scratch);
    let running = Served::of(name, &scratch, &["--format", "json", "--strict"]);
    let pid = terminal.pid();
    let key = format!("{name}path");
    let cycle = [
        json!({ &key: shell.path }),
        json!({ "cgroup_path": cgroup::root() }),
        json!({ "pid": pid }),
        json!({ "cgroup_path": "", &key: "" }),
        json!({ "pid": 0 }),
    ];
    let mut typed = Vec::new();
    let replaced = change_while(&running, &cycle, 10, || {
        let status = i32::try_from(typed.len() % 100).unwrap();
        let line = format!(": {}; (exit {status})", typed.len());
        terminal.run(&line);
        typed.push((line, Some(status), "returned".to_owned()));
    });
    assert_eq!(replaced, 8);
    terminal.enter("exit");
    terminal.wait_for_end();
    let captured = running.capture.stop();
    captured.assert_whole();
    let mut seen: Vec<_> = commands(&captured.stdout, pid)
        .into_iter()
        .map(|command| (command.line.unwrap(), command.status, command.ended))
        .collect();
    assert_eq!(seen.pop().map(|last| last.0), Some("exit".to_owned()));
    let first = seen.iter().zip(&typed).find(|(seen, typed)| seen != typed);
    assert_eq!((seen.len(), first), (typed.len(), None));
}

#[test]
fn changes_miss_no_command_of_bash() {
    needs_bpf!();
    assert_shell_misses_nothing("bash");
}

#[test]
fn changes_miss_no_command_of_zsh() {
    needs_bpf!();
    assert_shell_misses_nothing("zsh");
}

#[test]
fn a_command_is_shown_to_its_end_by_whatever_filter() {
    needs_bpf!();
    let scratch = Scratch::new();
    let shell = Shell::of("trixie", "bash");
    let path = shell.path.to_str().unwrap();
    let running = Served::of("bash", &scratch, &["--format", "json", "--bash", path]);
    let mut terminal = shell.start(&scratch);
    let said = Payload::marker();
    // What is echoed is not what is waited for.
    let long = format!("echo {}\"\"{}; read; (exit 3)", &said[..9], &said[9..]);
    terminal.enter(&long);
    terminal.wait_for(&said);
    assert_eq!(running.configure(r#"{"uid":65534}"#).json()["data"]["probes"], "kept");
    terminal.run("");
    terminal.run("echo unwanted");
    assert_eq!(running.configure(r#"{"uid":0}"#).code(), 0);
    terminal.run("echo wanted again");
    terminal.enter("exit");
    terminal.wait_for_end();
    let captured = running.capture.stop();
    captured.assert_whole();
    let seen: Vec<_> = commands(&captured.stdout, terminal.pid())
        .into_iter()
        .map(|command| (command.line.unwrap(), command.status))
        .collect();
    let expected = [(long, Some(3)), ("echo wanted again".to_owned(), Some(0))];
    assert_eq!(seen[..2], expected, "{seen:?}");
    assert_eq!((seen.len(), seen[2].0.as_str()), (3, "exit"));
}
