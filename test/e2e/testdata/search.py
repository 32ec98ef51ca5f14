"""Searches all that a process in a bottle can read for texts that should be
nowhere: environments, arguments, descriptors and memory of every process, the
kernel's lists of keys, and every file that is not older than the bottle.

The texts are in the file that is named first, each with its bits turned over,
so that neither that file nor this program is found. Those of lines that begin
with two stars are looked for everywhere, with one in memory that can be written
to and all but memory, without in all but memory. One text of its own it puts
everywhere, to see that it would see."""

import os
import secrets
import stat
import subprocess
import sys
import tempfile
import time

BLOCK = 1 << 22
LARGEST = 1 << 28  # bytes of a file
ZEROES = bytes(BLOCK)
began = time.monotonic()
lines = [line.strip() for line in open(sys.argv[1])]
texts = [(i, bytes(255 - b for b in bytes.fromhex(line.lstrip("*")))) for i, line in enumerate(lines)]
held = [(i, text) for i, text in texts if lines[i].startswith("*")]
plain = [(i, text) for i, text in texts if lines[i].startswith("**")]
since = float(sys.argv[2])
own = secrets.token_hex(16).encode()
seen = set()
counts = {"processes": 0, "memory": 0, "files": 0, "unreadable": 0}


def look(data, where, what=texts):
    """Notes which texts are in data."""
    if data == ZEROES[: len(data)]:
        return
    for i, text in what:
        if text in data:
            print("found: text", i, "in", where, flush=True)
    if own in data:
        seen.add(where.split()[0])


def stream(file, size, where, what=texts):
    """Looks at up to size bytes, across the borders of blocks."""
    rest = b""
    while size > 0:
        try:
            data = file.read(min(BLOCK, size))
        except (OSError, ValueError, OverflowError):
            return
        if not data:
            return
        look(rest + data, where, what)
        rest, size = data[-128:], size - len(data)  # longer than any text


def read(path, where):
    try:
        with open(path, "rb", buffering=0) as file:
            stream(file, LARGEST, where)
    except OSError:
        counts["unreadable"] += 1


def memory(pid):
    try:
        maps = open(f"/proc/{pid}/maps").read().splitlines()
        mem = open(f"/proc/{pid}/mem", "rb", buffering=0)
    except OSError:
        counts["unreadable"] += 1
        return
    with mem:
        for line in maps:
            area, mode = line.split()[:2]
            if mode[0] != "r" or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            start, end = (int(at, 16) for at in area.split("-"))
            try:
                mem.seek(start)
            except (OSError, ValueError, OverflowError):
                continue
            stream(mem, end - start, f"memory of {pid}", held if "w" in mode else plain)
    counts["memory"] += 1


def process(pid):
    counts["processes"] += 1
    for name in ("environ", "cmdline", "comm", "status", "mountinfo"):
        read(f"/proc/{pid}/{name}", f"{name} of {pid}")
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        counts["unreadable"] += 1
        descriptors = []
    for fd in descriptors:
        path = f"/proc/{pid}/fd/{fd}"
        try:
            look(os.readlink(path).encode(), f"link {path}")
            regular = stat.S_ISREG(os.stat(path).st_mode)
        except OSError:
            continue
        if regular:
            read(path, f"descriptor {path}")
    memory(pid)


def files():
    top = {"/proc", "/sys", "/dev/pts"}
    for directory, below, names in os.walk("/"):
        below[:] = [name for name in below if os.path.join(directory, name) not in top]
        for name in names:
            path = os.path.join(directory, name)
            try:
                found = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISLNK(found.st_mode):
                try:
                    look(os.readlink(path).encode(), f"link {path}")
                except OSError:
                    pass
            if stat.S_ISREG(found.st_mode) and found.st_ctime >= since:
                counts["files"] += 1
                read(path, f"file {path}")


lost = tempfile.TemporaryFile()
lost.write(own)
lost.flush()
known = tempfile.NamedTemporaryFile(dir=os.path.expanduser("~"))
known.write(own)
known.flush()
child = subprocess.Popen(
    [sys.executable, "-c", "import os, sys; held = os.environ['OWN'] * 2; print(flush=True); sys.stdin.read()", own.decode()],
    env={"OWN": own.decode()}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[lost.fileno()],
)
child.stdout.readline()
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) != os.getpid():
        process(int(pid))
for path in ("/proc/keys", "/proc/key-users", "/proc/self/environ", "/proc/self/cmdline", "/proc/cmdline"):
    if os.path.exists(path):
        read(path, f"kernel {path}")
files()
child.communicate()
print("seen:", *sorted(seen))
print("searched:", *(f"{n} {what}" for what, n in counts.items()), f"{time.monotonic() - began:.1f} seconds", flush=True)
