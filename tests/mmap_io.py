#!/usr/bin/python3
"""What Rust has no safe call for, for a_mount_serves_as_without.rs: memory maps, and truncate(2).

One command a line, words separated by blanks; each answers with a line "ok HEX" or "errno NUMBER".

  read PATH OFFSET LENGTH      through a shared map
  write PATH OFFSET HEX        through a shared map, and msync(2)
  truncate PATH SIZE           by name
"""
import mmap
import os
import sys


def perform(verb, path, first, second=None):
    if verb == "truncate":
        os.truncate(path, int(first))
        return b""
    offset = int(first)
    with open(path, "r+b", buffering=0) as file, mmap.mmap(file.fileno(), 0) as shared:
        if verb == "read":
            return shared[offset:offset + int(second)]
        assert verb == "write", verb
        data = bytes.fromhex(second)
        shared[offset:offset + len(data)] = data
        shared.flush()
        return b""


for line in sys.stdin:
    try:
        print("ok", perform(*line.split()).hex(), flush=True)
    except OSError as error:
        print("errno", error.errno, flush=True)
