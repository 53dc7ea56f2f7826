#!/usr/bin/python3
"""A live consumer of a brick's changelog, by the installed libgfchangelog, as geo-replication's changelog crawl is one.

usage: gflive.py BRICK SCRATCH LOG REGISTERED

It makes the file REGISTERED when the brick has accepted it. Then it scans for slices, twice a second, takes each that there
is and says that it is done with it: its lines are under SCRATCH/.processed from then on. It ends when its stdin does.
"""

import ctypes
import os
import select
import sys


def fail(what):
    sys.exit("gflive.py: %s: %s" % (what, os.strerror(ctypes.get_errno())))


def main():
    brick, scratch, log, registered = map(os.fsencode, sys.argv[1:])
    library = ctypes.CDLL("libgfchangelog.so.0", mode=ctypes.RTLD_GLOBAL, use_errno=True)
    if library.gf_changelog_init(None) != 0:
        fail("init")
    if library.gf_changelog_register(brick, scratch, log, 7, 5) != 0:
        fail("register")
    open(registered, "w").close()
    path = ctypes.create_string_buffer(4096)
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        if library.gf_changelog_scan() < 0:
            fail("scan")
        while True:
            length = library.gf_changelog_next_change(path, 4096)
            if length < 0:
                fail("next_change")
            if length == 0:
                break
            if length != len(path.value) + 1:
                sys.exit("gflive.py: next_change: %d for %r" % (length, path.value))
            if library.gf_changelog_done(path) != 0:
                fail("done")


main()
