"""A history call of the installed libgfchangelog, as geo-replication and glusterfind make it.

usage: gfchangelog.py BRICK SCRATCH LOG CHANGELOGS START END

BRICK is served by a running brick whose changelog is on: it answers the registration. CHANGELOGS is the directory that is
read, of that brick or of any other. Prints a JSON object: what the call returned, the actual end, the converted slices
in the order of their time stamps, as files under SCRATCH, and the processor seconds that it all took.

The library keeps its state in the process and in the thread, so a process makes one call. And where its thread has done
all before the call has noted that it began, a scan waits for ever: nothing that is asked for makes that so, so a call that
does not end is made again, by another process, with twice the time.
"""

import ctypes
import json
import os
import subprocess
import sys
import time

PARTIAL = 1

# Set for the process that makes the call.
ONCE = "GNOTIFY_GFCHANGELOG_ONCE"

# Seconds for the first one; a call takes three, most of which the library sleeps.
FIRST_DEADLINE = 30


def fail(what):
    sys.exit("gfchangelog.py: %s: %s" % (what, os.strerror(ctypes.get_errno())))


def call_until_it_ends():
    deadline = FIRST_DEADLINE
    while True:
        again = [sys.executable, *sys.argv]
        environment = dict(os.environ, **{ONCE: "1"})
        try:
            done = subprocess.run(again, env=environment, stdout=subprocess.PIPE, timeout=deadline)
        except subprocess.TimeoutExpired:
            sys.stderr.write("gfchangelog.py: no end after %d s: again\n" % deadline)
            deadline *= 2
            continue
        sys.stdout.buffer.write(done.stdout)
        sys.exit(done.returncode)


def call():
    brick, scratch, log, changelogs, start, end = sys.argv[1:]
    library = ctypes.CDLL("libgfchangelog.so.0", mode=ctypes.RTLD_GLOBAL, use_errno=True)
    if library.gf_changelog_init(None) != 0:
        fail("init")
    text = os.fsencode
    if library.gf_changelog_register(text(brick), text(scratch), text(log), 7, 5) != 0:
        fail("register " + brick)
    actual_end = ctypes.c_ulong(0)
    before = time.process_time()
    result = library.gf_history_changelog(
        text(changelogs),
        ctypes.c_ulong(int(start)),
        ctypes.c_ulong(int(end)),
        3,
        ctypes.byref(actual_end),
    )
    slices = []
    while result in (0, PARTIAL):
        count = library.gf_history_changelog_scan()
        if count < 0:
            fail("scan")
        if count == 0:
            break
        path = ctypes.create_string_buffer(4096)
        while library.gf_history_changelog_next_change(path, 4096) > 0:
            if library.gf_history_changelog_done(path) != 0:
                fail("done")
            slices.append(os.path.basename(os.fsdecode(path.value)))
    seconds = time.process_time() - before
    slices.sort(key=lambda name: name.rsplit(".", 1)[-1])
    processed = os.path.join(os.path.realpath(scratch), ".history", ".processed")
    files = [os.path.join(processed, name) for name in slices]
    told = {"result": result, "actual_end": actual_end.value, "slices": files, "seconds": seconds}
    print(json.dumps(told))


if ONCE in os.environ:
    call()
else:
    call_until_it_ends()
