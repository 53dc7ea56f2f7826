#!/usr/bin/python3
"""A consumer of a brick's events, by the installed libgfchangelog: gfevents.py BRICK FILTER ORDERED LOG

FILTER is a number, ORDERED 0 or 1. It registers once and then tells what it hears, one thing a line:

  registered RESULT          what gf_changelog_register_generic returned
  connected | disconnected   the callbacks of these names
  event NANOSECONDS HEX      when the callback was called (CLOCK_REALTIME), and the structure that it got,
                             without the zeros at its end

It ends when its stdin does.
"""
import ctypes
import sys
import time
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_uint, c_void_p

LOG_INFO = 7
EVENT_SIZE = 4104

INIT = CFUNCTYPE(c_void_p, c_void_p, c_void_p)
TOLD = CFUNCTYPE(None, c_void_p, c_char_p, c_void_p)
CALLBACK = CFUNCTYPE(None, c_void_p, c_char_p, c_void_p, c_void_p)


class Brick(ctypes.Structure):
    """struct gf_brick_spec"""

    _fields_ = [
        ("brick_path", c_char_p),
        ("filter", c_uint),
        ("init", INIT),
        ("fini", TOLD),
        ("callback", CALLBACK),
        ("connected", TOLD),
        ("disconnected", TOLD),
        ("ptr", c_void_p),
    ]


def say(*words):
    # One write a line: callbacks come on threads of the library's.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


@CALLBACK
def heard(_xlator, _brick, _data, event):
    now = time.time_ns()
    say("event", now, ctypes.string_at(event, EVENT_SIZE).rstrip(b"\0").hex())


init = INIT(lambda _xlator, _spec: 1)
fini = TOLD(lambda _xlator, _brick, _data: None)
connected = TOLD(lambda _xlator, _brick, _data: say("connected"))
disconnected = TOLD(lambda _xlator, _brick, _data: say("disconnected"))

api = ctypes.CDLL("libgfchangelog.so.0", use_errno=True)
api.gf_changelog_init.argtypes = [c_void_p]
api.gf_changelog_register_generic.argtypes = [
    POINTER(Brick), c_int, c_int, c_char_p, c_int, c_void_p,
]

brick, selection, ordered, log = sys.argv[1:]
spec = Brick(
    brick.encode(), int(selection), init, fini, heard, connected, disconnected, None
)
if api.gf_changelog_init(None) != 0:
    sys.exit("gf_changelog_init failed")
say("registered", api.gf_changelog_register_generic(
    byref(spec), 1, int(ordered), log.encode(), LOG_INFO, None
))
sys.stdin.read()
