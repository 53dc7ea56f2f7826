#!/usr/bin/python3
"""Two libgfapi clients of one brick: the first takes a lease on the file /leased, the second opens it.

lease_recall.py VOLFILE LOG prints "recalled" when the first is told to give its lease back.
"""
import ctypes
import os
import sys
import threading
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char, c_char_p, c_int, c_uint, c_void_p

api = ctypes.CDLL("libgfapi.so.0", use_errno=True)
SET_LEASE, RW_LEASE = 2, 2
EVENT_ANY, REASON_RECALL = 0xFFFFFFFF, 2
# The host compares lease ids as C strings: with a NUL before the end.
HOLDER, OTHER = b"holder".ljust(16, b"\0"), b"other".ljust(16, b"\0")
PATIENCE = 60


class Lease(Structure):
    _fields_ = [("cmd", c_int), ("type", c_int), ("id", c_char * 16), ("flags", c_uint)]


CALLBACK = CFUNCTYPE(None, c_void_p, c_void_p)


def function(name, result, *arguments):
    f = getattr(api, "glfs_" + name)
    f.restype, f.argtypes = result, arguments
    return f


new = function("new", c_void_p, c_char_p)
set_volfile = function("set_volfile", c_int, c_void_p, c_char_p)
set_logging = function("set_logging", c_int, c_void_p, c_char_p, c_int)
init = function("init", c_int, c_void_p)
open_file = function("open", c_void_p, c_void_p, c_char_p, c_int)
setfsleaseid = function("setfsleaseid", c_int, c_char_p)
lease = function("lease", c_int, c_void_p, POINTER(Lease), c_void_p, c_void_p)
register = function("upcall_register", c_int, c_void_p, c_uint, CALLBACK, c_void_p)
get_reason = function("upcall_get_reason", c_int, c_void_p)


def connect():
    fs = new(b"any")
    set_volfile(fs, sys.argv[1].encode())
    set_logging(fs, sys.argv[2].encode(), 7)
    assert init(fs) == 0, "glfs_init"
    return fs


recalled = threading.Event()


@CALLBACK
def told(event, _data):
    if get_reason(event) == REASON_RECALL:
        recalled.set()


def main():
    holder, other = connect(), connect()
    assert register(holder, EVENT_ANY, told, None) > 0, "glfs_upcall_register"
    setfsleaseid(HOLDER)
    fd = open_file(holder, b"/leased", os.O_RDWR)
    want = Lease(SET_LEASE, RW_LEASE, HOLDER, 0)
    if lease(fd, byref(want), None, None) != 0:
        raise OSError(ctypes.get_errno(), "glfs_lease")

    def conflict():
        setfsleaseid(OTHER)
        open_file(other, b"/leased", os.O_RDWR)

    threading.Thread(target=conflict, daemon=True).start()
    print("recalled" if recalled.wait(PATIENCE) else "never recalled")


try:
    main()
    status = 0
except Exception as error:  # whatever it is, the client must not linger
    print(f"lease_recall.py: {error!r}", file=sys.stderr)
    status = 1
sys.stdout.flush()
sys.stderr.flush()
os._exit(status)  # glfs_fini would take ten seconds
