//! The modules for shells and databases.

use super::{Errors, capture, global, is_empty, notes};
use crate::Exit;
use crate::args::{BashArgs, ErrnumberArgs, GlobalArgs, MysqldArgs, PostgresArgs, ZshArgs};
use crate::config::{DatabaseConfig, DatabaseKind, ShellConfig, ShellKind};
use std::path::PathBuf;

/// `--errnumber` for every status, as it has always been.
const EVERY_STATUS: u8 = 128;

pub(super) fn bash(
    args: BashArgs,
    before: GlobalArgs,
    errors: &mut Errors<'_>,
) -> Result<ShellConfig, Exit> {
    let global = global(before, args.global, errors)?;
    Ok(ShellConfig {
        capture: capture(args.capture, &global, errors)?,
        global,
        shell: ShellKind::Bash,
        files: files(args.bash),
        readline: args.readlineso.filter(|path| !is_empty(path)),
        status: status(&args.errnumber),
    })
}

pub(super) fn zsh(
    args: ZshArgs,
    before: GlobalArgs,
    errors: &mut Errors<'_>,
) -> Result<ShellConfig, Exit> {
    let global = global(before, args.global, errors)?;
    Ok(ShellConfig {
        capture: capture(args.capture, &global, errors)?,
        global,
        shell: ShellKind::Zsh,
        files: files(args.zsh),
        readline: None,
        status: status(&args.errnumber),
    })
}

pub(super) fn mysqld(
    args: MysqldArgs,
    before: GlobalArgs,
    errors: &mut Errors<'_>,
) -> Result<DatabaseConfig, Exit> {
    let notes = notes(&args.capture);
    let global = global(before, args.global, errors)?;
    Ok(DatabaseConfig {
        capture: capture(args.capture, &global, errors)?,
        global,
        database: DatabaseKind::Mysqld,
        files: files(args.mysqld),
        function: args.funcname.filter(|name| !name.is_empty()),
        offset: args.offset.filter(|offset| *offset != 0),
        notes,
    })
}

pub(super) fn postgres(
    args: PostgresArgs,
    before: GlobalArgs,
    errors: &mut Errors<'_>,
) -> Result<DatabaseConfig, Exit> {
    let notes = notes(&args.capture);
    let global = global(before, args.global, errors)?;
    Ok(DatabaseConfig {
        capture: capture(args.capture, &global, errors)?,
        global,
        database: DatabaseKind::Postgres,
        files: files(args.postgres),
        function: args.funcname.filter(|name| !name.is_empty()),
        offset: None,
        notes,
    })
}

fn files(files: Vec<PathBuf>) -> Vec<PathBuf> {
    files.into_iter().filter(|path| !is_empty(path)).collect()
}

fn status(args: &ErrnumberArgs) -> Option<u8> {
    args.errnumber.filter(|status| *status != EVERY_STATUS)
}
