"""page_out.py PID FILE TEXT: takes the constant data of FILE out of a process's memory.

As on a host that has just started, or is short of memory. Fails if a page of FILE with TEXT on it is
still there.
"""

import ctypes
import os
import re
import sys

PIDFD_OPEN, PROCESS_MADVISE, MADV_PAGEOUT = 434, 440, 21
PAGE = os.sysconf("SC_PAGE_SIZE")
PRESENT = 1 << 63

pid, path, text = int(sys.argv[1]), os.path.realpath(sys.argv[2]), sys.argv[3].encode()
libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Range(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


with open(f"/proc/{pid}/maps") as maps:
    fields = [line.split() for line in maps if line.rstrip().endswith(path)]
mapped = []
for addresses, rights, offset, *_ in fields:
    if "w" not in rights:
        start, end = (int(address, 16) for address in addresses.split("-"))
        mapped.append((start, end, int(offset, 16)))
with open(path, "rb") as file:
    # What was not yet written stays in memory.
    os.fsync(file.fileno())
    places = [match.start() for match in re.finditer(re.escape(text), file.read())]
pages = [
    (start + place - offset) // PAGE
    for start, end, offset in mapped
    for place in places
    if offset <= place < offset + end - start
]
if not pages:
    sys.exit(f"{path} is not mapped, or has no {text!r} in it")

pidfd = checked(libc.syscall(PIDFD_OPEN, pid, 0))
with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:

    def present(page):
        return int.from_bytes(os.pread(pagemap.fileno(), 8, page * 8), "little") & PRESENT

    # The first time may only take pages off a list of those that were just used.
    for _ in range(10):
        for start, end, _offset in mapped:
            part = Range(start, end - start)
            checked(libc.syscall(PROCESS_MADVISE, pidfd, ctypes.byref(part), 1, MADV_PAGEOUT, 0))
        if not any(map(present, pages)):
            sys.exit()
sys.exit(f"{path}: pages with {text!r} stay in memory")
