//! How the value of each flag is read. Every function here says what is wrong with a bad value; the
//! flag's name and the value are put before it by the parser.

use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Linux never gives out a larger process id (`PID_MAX_LIMIT`, include/linux/threads.h).
const PID_MAX: u32 = 4 << 20;

/// `--mapsize` counts pages of this size.
pub(crate) const MAPSIZE_UNIT: u64 = 4096;
/// Less does not hold a few records of one 16 KiB call; more is a ring buffer that no kernel makes.
pub(crate) const MAPSIZE: RangeInclusive<u64> = 16..=262_144;

/// A process id; 0 stands for every process.
pub(crate) fn pid(value: &str) -> Result<u32, String> {
    match value.parse() {
        Ok(pid) if pid <= PID_MAX => Ok(pid),
        _ => Err(format!("a process id is a whole number from 1 to {PID_MAX}, or 0 for all")),
    }
}

/// What `--uid` selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum User {
    /// Everybody.
    All,
    /// The user with this id.
    Id(u32),
}

/// A user id, 0 for everybody as it has always been, or the name of a user, root included.
pub(crate) fn user(value: &str) -> Result<User, String> {
    if value.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return match value.parse() {
            Ok(0) => Ok(User::All),
            // -1 as an unsigned number means "no user" to the kernel.
            Ok(uid) if uid != u32::MAX => Ok(User::Id(uid)),
            _ => Err("a user id is a whole number below 4294967295".to_owned()),
        };
    }
    match nix::unistd::User::from_name(value) {
        Ok(Some(user)) => Ok(User::Id(user.uid.as_raw())),
        Ok(None) => Err("there is no user of this name".to_owned()),
        Err(errno) => Err(format!("looking up the user failed: {}", errno.desc())),
    }
}

/// Buffer size per CPU in bytes, from a number of pages.
pub(crate) fn mapsize(value: &str) -> Result<u64, String> {
    match value.parse() {
        Ok(pages) if MAPSIZE.contains(&pages) => Ok(pages * MAPSIZE_UNIT),
        _ => Err(format!(
            "a whole number of 4 KiB pages per CPU from {} (64 KiB) to {} (1 GiB) is needed",
            MAPSIZE.start(),
            MAPSIZE.end()
        )),
    }
}

/// A number of records.
pub(crate) fn count(value: &str) -> Result<NonZeroU64, String> {
    value.parse().map_err(|_| "a whole number from 1 on is needed".to_owned())
}

/// A position in a file in bytes, decimal or hexadecimal; 0, the old default, is none.
pub(crate) fn offset(value: &str) -> Result<u64, String> {
    let parsed = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => value.parse(),
    };
    parsed.map_err(|_| "a position in bytes is needed, such as 0x710410".to_owned())
}

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// A time such as `500ms`, `10s`, `1.5m` or `2h`.
pub(crate) fn duration(value: &str) -> Result<Duration, String> {
    let wrong = || "a number and a unit is needed: 500ms, 10s, 2m, 1h".to_owned();
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = value.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong())?;
    // A year is the most that anybody can mean.
    let seconds = number * *millis as f64 / 1e3;
    if !(0.001..=366.0 * 86_400.0).contains(&seconds) {
        return Err("a time from 1ms to a year is needed".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// The address of a WebSocket server: `ws://host:port/`.
pub(crate) fn websocket_server(value: &str) -> Result<String, String> {
    if value.is_empty() {
        return Ok(String::new());
    }
    let host = value.strip_prefix("ws://").ok_or("ws://HOST:PORT/ is needed")?;
    host_and_port(host.strip_suffix('/').unwrap_or(host))?;
    Ok(value.to_owned())
}

/// `host:port`, or nothing.
pub(crate) fn listen(value: &str) -> Result<String, String> {
    if !value.is_empty() {
        host_and_port(value)?;
    }
    Ok(value.to_owned())
}

/// The two parts of `host:port`; brackets around the host are taken off.
pub(crate) fn host_and_port(value: &str) -> Result<(&str, u16), String> {
    let (host, port) = value.rsplit_once(':').ok_or("HOST:PORT is needed")?;
    if host.is_empty() || host.contains(['/', ' ']) {
        return Err("HOST:PORT is needed".to_owned());
    }
    match port.parse::<u16>() {
        Ok(port @ 1..) => {
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            Ok((bare.unwrap_or(host), port))
        }
        _ => Err("a port is a whole number from 1 to 65535".to_owned()),
    }
}
