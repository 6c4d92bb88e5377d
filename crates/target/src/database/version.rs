//! The version that a server's strings name. For people: no decision depends on it.

use super::Server;
use crate::elf::Elf;
use memchr::memmem;

/// `PostgreSQL 17.6`, `MariaDB 10.11.14`, or just the name.
pub(super) fn version(elf: &Elf<'_>, server: Server) -> Option<String> {
    match server {
        Server::Postgres => elf.constant_data().find_map(postgres),
        Server::MariaDb => elf.constant_data().find_map(mariadb),
        Server::MySql => elf.constant_data().find_map(mysql),
    }
}

/// Of `PostgreSQL 17.6 (Debian 17.6-0+deb13u1) on x86_64…`.
fn postgres(data: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"PostgreSQL ";
    memmem::find_iter(data, NAME).find_map(|at| {
        let text = data.get(at + NAME.len()..)?;
        let number = number_at(text)?;
        let tail = text.get(number.len()..)?;
        // Messages name versions too.
        (tail.starts_with(b" (") || tail.starts_with(b" on "))
            .then(|| format!("PostgreSQL {number}"))
    })
}

/// Of `mysqld-9.7`, a section of its configuration file.
fn mysql(data: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"\0mysqld-";
    memmem::find_iter(data, NAME).find_map(|at| {
        let number = number_at(data.get(at + NAME.len()..)?)?;
        Some(format!("MySQL {number}"))
    })
}

/// Of `10.11.14-MariaDB`.
fn mariadb(data: &[u8]) -> Option<String> {
    const LONGEST: usize = 16;
    memmem::find_iter(data, b"-MariaDB").find_map(|at| {
        let before = data.get(at.saturating_sub(LONGEST)..at)?;
        let is_number = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        let start = before.iter().rposition(|byte| !is_number(byte)).map_or(0, |last| last + 1);
        let number = number_at(before.get(start..)?)?;
        Some(format!("MariaDB {number}"))
    })
}

/// `17.6`, `18beta1` or `10.11.14` at the start of `text`.
fn number_at(text: &[u8]) -> Option<&str> {
    const LONGEST: usize = 16;
    let text = text.get(..LONGEST).unwrap_or(text);
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'.';
    let end = text.iter().position(|byte| !legal(byte)).unwrap_or(text.len());
    let number = std::str::from_utf8(text.get(..end)?).ok()?;
    let is_number = number.starts_with(|first: char| first.is_ascii_digit())
        && (number.contains('.') || number.contains(char::is_alphabetic));
    is_number.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_strings() {
        let text = b"\0PostgreSQL 17.6 (Debian 17.6-0+deb13u1) on x86_64\0";
        assert_eq!(postgres(text).as_deref(), Some("PostgreSQL 17.6"));
        assert_eq!(postgres(b"\0PostgreSQL 18beta1 on x\0").as_deref(), Some("PostgreSQL 18beta1"));
        assert_eq!(postgres(b"to PostgreSQL 9.1.\0"), None);
        assert_eq!(postgres(b"PostgreSQL server\0PostgreSQL %s\0"), None);
        assert_eq!(mariadb(b"\x0010.11.14-MariaDB\0").as_deref(), Some("MariaDB 10.11.14"));
        assert_eq!(mysql(b"server\0mysqld-9.7\0mysqld\0").as_deref(), Some("MySQL 9.7"));
        assert_eq!(mariadb(b"replication-MariaDB\0"), None);
    }
}
