# Sourced by the scripts beside it: who builds, who captures, and where Rust is.
#
# A script is run either by root, or through sudo. Building happens as the person who called sudo,
# so that no file of theirs ends up owned by root; capturing happens as root.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '== %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# Prints the comment at the head of the calling script.
explain() { sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$0"; }

# Starts the calling script again through sudo, unless it runs as root already.
need_root() {
	[ "$(id -u)" -eq 0 ] && return
	command -v sudo >/dev/null || die "run this as root (sudo is not installed)"
	exec sudo --preserve-env=CARGO_HOME,RUSTUP_HOME,CARGO_TARGET_DIR,ECAPTURE_BIN,ECAPTURE_LIBS,ECAPTURE_REQUIRE_BPF,http_proxy,https_proxy,no_proxy \
		"$root/script/$(basename "$0")" "$@"
}

builder=$(id -un)
builder_home=$HOME
if [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ] &&
	[ "$(stat -c %U "$root")" = "$SUDO_USER" ]; then
	builder=$SUDO_USER
	builder_home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
fi
builder_path=${CARGO_HOME:-$builder_home/.cargo}/bin:$PATH

# Runs a command as the person who builds, with that person's Rust.
as_builder() {
	if [ "$builder" = "$(id -un)" ]; then
		PATH=$builder_path "$@"
	else
		runuser -u "$builder" -- env HOME="$builder_home" USER="$builder" LOGNAME="$builder" \
			PATH="$builder_path" "$@"
	fi
}

# Libraries of other suites and versions, for tests. Outside of the checkout, as every clone needs them.
export ECAPTURE_LIBS=${ECAPTURE_LIBS:-$builder_home/.cache/ecapture/libs}

target_dir=${CARGO_TARGET_DIR:-$root/target}
