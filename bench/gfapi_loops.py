#!/usr/bin/python3
"""A libgfapi client that repeats a fop: gfapi_loops.py VOLFILE LOG < PHASES

One phase a line: "VERB SET COUNT". Each answers with one line: the nanoseconds of each call.
A SET is COUNT files in the root directory; the calls go to objects and open files, not to paths,
so that a call is one fop (an unlink is led by a lookup).
"begun" answers when each call of the phase before began, in nanoseconds since 1970.

  create    makes the files and keeps them open       again    4 KiB to the first file, COUNT times
  write     4 KiB to each file, from its beginning    setattr  chmod of each file
  close     closes the files                          unlink   removes the files
"""
import ctypes
import gc
import os
import sys
from ctypes import byref, c_char_p, c_int, c_int64, c_size_t, c_uint, c_void_p
from time import perf_counter_ns, time_ns

LOG_INFO = 7
SET_ATTR_MODE = 1
BLOCK = ctypes.create_string_buffer(b"x" * 4096, 4096)
STAT = 256  # more than a struct stat has, on any machine
api = ctypes.CDLL("libgfapi.so.0", use_errno=True)


def function(name, result, *arguments):
    f = getattr(api, "glfs_" + name)
    f.restype, f.argtypes = result, arguments
    return f


new = function("new", c_void_p, c_char_p)
set_volfile = function("set_volfile", c_int, c_void_p, c_char_p)
set_logging = function("set_logging", c_int, c_void_p, c_char_p, c_int)
init = function("init", c_int, c_void_p)
lookup = function("h_lookupat", c_void_p, c_void_p, c_void_p, c_char_p, c_void_p, c_int)
creat = function("h_creat_open", c_void_p, c_void_p, c_void_p, c_char_p, c_int, c_uint, c_void_p,
                 c_void_p)
pwrite = function("pwrite", c_int64, c_void_p, c_void_p, c_size_t, c_int64, c_int, c_void_p,
                  c_void_p)
setattrs = function("h_setattrs", c_int, c_void_p, c_void_p, c_void_p, c_int)
close = function("close", c_int, c_void_p)
unlink = function("h_unlink", c_int, c_void_p, c_void_p, c_char_p)
h_close = function("h_close", c_int, c_void_p)

fs = root = changed = None
objects, files = {}, {}
begun = []


def made(name, mode):
    """A new file: its object, its open file and its stat."""
    stat, fd = ctypes.create_string_buffer(STAT), c_void_p()
    handle = creat(fs, root, name, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode, stat, byref(fd))
    if not handle:
        raise OSError(ctypes.get_errno(), name)
    return handle, fd, stat


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "a fop failed")


def phase(verb, name, count):
    names = [f"{name}-{i:07}".encode() for i in range(count)]
    if verb == "begun":
        return begun[:count]
    times = []
    begun.clear()
    since_1970 = time_ns() - perf_counter_ns()

    def timed(call, *arguments):
        start = perf_counter_ns()
        result = call(*arguments)
        times.append(perf_counter_ns() - start)
        begun.append(since_1970 + start)
        return result

    if verb == "create":
        made_now = [timed(made, n, 0o644) for n in names]
        objects[name] = [handle for handle, _, _ in made_now]
        files[name] = [fd for _, fd, _ in made_now]
    elif verb == "write":
        for fd in files[name]:
            checked(timed(pwrite, fd, BLOCK, 4096, 0, 0, None, None))
    elif verb == "again":
        for _ in names:
            checked(timed(pwrite, files[name][0], BLOCK, 4096, 0, 0, None, None))
    elif verb == "setattr":
        for handle in objects[name]:
            checked(timed(setattrs, fs, handle, changed, SET_ATTR_MODE))
    elif verb == "close":
        for fd in files.pop(name):
            checked(timed(close, fd))
        for handle in objects.pop(name):
            h_close(handle)
    elif verb == "unlink":
        for n in names:
            checked(timed(unlink, fs, root, n))
    else:
        raise AssertionError(f"unknown verb: {verb}")
    return times


def main():
    global fs, root, changed
    volfile, log = sys.argv[1:]
    fs = new(b"any")
    set_volfile(fs, volfile.encode())
    set_logging(fs, log.encode(), LOG_INFO)
    if init(fs) != 0:
        raise OSError(ctypes.get_errno(), "glfs_init")
    root = lookup(fs, None, b"/", ctypes.create_string_buffer(STAT), 0)
    # Its stat holds the mode that `setattr` sets: where in a stat the mode is, depends on the machine.
    handle, fd, changed = made(f"changed-mode-{os.getpid()}".encode(), 0o600)
    close(fd)
    h_close(handle)
    gc.disable()
    for line in sys.stdin:
        verb, name, count = line.split()
        print(*phase(verb, name, int(count)), flush=True)


try:
    main()
    status = 0
except Exception as error:  # whatever it is, the client must not linger
    print(f"gfapi_loops.py: {error!r}", file=sys.stderr)
    status = 1
sys.stdout.flush()
sys.stderr.flush()
os._exit(status)  # glfs_fini would take ten seconds
