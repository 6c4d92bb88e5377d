"""A PostgreSQL server of one of Debian's suites, and pgbench."""
import contextlib
import os
import pathlib
import re
import subprocess
import tempfile

from scene import Lines, libraries

ENTER = """
set -e
files=$1 root=$2; shift 2
mount --bind "$files/usr" "$root/usr"
for folder in lib lib64; do
	[ ! -d "$files/$folder" ] || mount --bind "$files/$folder" "$root/$folder"
done
for device in null urandom; do mount --bind /dev/$device "$root/dev/$device"; done
mount --bind /proc "$root/proc"
exec env -i PATH=/usr/sbin:/usr/bin:/bin LC_ALL=C chroot --userspec=65534:65534 "$root" "$@"
"""
CLIENTS = 4


class Server:
    """In a root of its own."""

    def __init__(self, files, folder):
        self.files, self.root = files, pathlib.Path(folder)
        self.programs = next(files.glob("usr/lib/postgresql/*/bin"))
        for name in ("usr", "bin", "etc", "tmp", "dev", "proc", "data"):
            (self.root / name).mkdir()
        (self.root / "tmp").chmod(0o777)
        os.chown(self.root / "data", 65534, 65534)
        self.root.chmod(0o755)
        for name in ("lib", "lib64"):
            if (files / name).is_dir():
                (self.root / name).mkdir()
            else:
                (self.root / name).symlink_to(f"usr/{name}")
        for name in ("null", "urandom"):
            (self.root / "dev" / name).touch()
        (self.root / "etc/passwd").write_text("nobody:x:65534:65534::/data:/bin/sh\n")
        shell = next(path for path in (files / "bin/busybox", files / "usr/bin/busybox")
                     if path.exists())
        (self.root / "bin/sh").write_bytes(shell.read_bytes())
        (self.root / "bin/sh").chmod(0o755)
        self.run("initdb", "-D", "/data/pg", "-N", "-A", "trust", "-U", "postgres")
        self.process = subprocess.Popen(
            self.command("postgres", "-D", "/data/pg", "-h", "", "-k", "/tmp", "-F"),
            stderr=subprocess.PIPE)
        Lines(self.process.stderr, "postgres").wait_for("ready to accept connections")
        self.run("pgbench", "-h", "/tmp", "-U", "postgres", "-i", "-q", "-s", "5", "postgres")

    def command(self, program, *arguments):
        path = "/" + str((self.programs / program).relative_to(self.files))
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "enter",
                str(self.files), str(self.root), path, *arguments]

    def run(self, program, *arguments):
        return subprocess.run(self.command(program, *arguments), check=True, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout

    def load(self, script, protocol, seconds):
        """Runs one of pgbench's own scripts; gives the transactions a second and their number."""
        text = self.run("pgbench", "-h", "/tmp", "-U", "postgres", "-n", "-b", script, "-c",
                        str(CLIENTS), "-M", protocol, "-T", str(seconds), "postgres")
        rate = float(re.search(r"tps = ([0-9.]+) \(without", text)[1])
        return rate, int(re.search(r"transactions actually processed: (\d+)", text)[1])

    def stop(self):
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def postgres(suite):
    """The server of a suite, with pgbench's tables in it."""
    with tempfile.TemporaryDirectory(prefix="ecapture-bench-") as folder:
        server = Server(libraries(f"{suite}-databases"), folder)
        try:
            yield server
        finally:
            server.stop()
