#!/usr/bin/python3
"""A libgfapi client for the tests: gfapi.py VOLFILE LOG < COMMANDS

One command a line, words separated by blanks. Each answers with a line
"ok VALUE" or "errno NUMBER". Files that are open are named by a word FD of the caller's choice.

  mkdir PATH MODE          rmdir PATH            unlink PATH
  mknod PATH MODE DEV      symlink TARGET PATH   link OLD NEW        rename OLD NEW
  truncate PATH SIZE       chmod PATH MODE       lchown PATH UID GID
  setxattr PATH NAME VALUE                       removexattr PATH NAME
  creat FD PATH FLAGS MODE open FD PATH FLAGS    close FD
  write FD OFFSET TEXT     ftruncate FD SIZE     fsync FD
  fallocate FD KEEP_SIZE OFFSET LENGTH           discard FD OFFSET LENGTH
  zerofill FD OFFSET LENGTH
  copy_file_range FD_IN OFF_IN FD_OUT OFF_OUT LENGTH
  fchmod FD MODE           fchown FD UID GID
  fsetxattr FD NAME VALUE                        fremovexattr FD NAME
  setfsuid UID             setfsgid GID
  ipc NUMBER KEY HEX       one value in its xdata, in hexadecimal digits

MODE is octal, FLAGS, DEV and the rest are decimal.
"""
import ctypes
import os
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_uint, c_void_p

LOG_INFO = 7
api = ctypes.CDLL("libgfapi.so.0", use_errno=True)


host = ctypes.CDLL("libglusterfs.so.0")
dict_new = host.dict_new
dict_new.restype = c_void_p
dict_set_static_bin = host.dict_set_static_bin
dict_set_static_bin.argtypes = c_void_p, c_char_p, c_char_p, c_size_t


def function(name, result, *arguments):
    f = getattr(api, "glfs_" + name)
    f.restype, f.argtypes = result, arguments
    return f


new = function("new", c_void_p, c_char_p)
set_volfile = function("set_volfile", c_int, c_void_p, c_char_p)
set_logging = function("set_logging", c_int, c_void_p, c_char_p, c_int)
init = function("init", c_int, c_void_p)

PATH, NAME, FD, NUMBER, OCTAL, DECIMAL = "path", "name", "fd", "number", "octal", "decimal"
C_TYPE = {PATH: c_char_p, NAME: c_char_p, FD: c_void_p, NUMBER: c_int64, OCTAL: c_uint,
          DECIMAL: c_int}
# Functions that take just the words of the command: whether the first argument is the volume.
PLAIN = {
    "mkdir": (True, PATH, OCTAL), "rmdir": (True, PATH), "unlink": (True, PATH),
    "mknod": (True, PATH, OCTAL, NUMBER), "symlink": (True, NAME, PATH),
    "link": (True, PATH, PATH), "rename": (True, PATH, PATH),
    "truncate": (True, PATH, NUMBER), "chmod": (True, PATH, OCTAL),
    "lchown": (True, PATH, DECIMAL, DECIMAL), "removexattr": (True, PATH, NAME),
    "close": (False, FD), "fchmod": (False, FD, OCTAL),
    "fchown": (False, FD, DECIMAL, DECIMAL), "fremovexattr": (False, FD, NAME),
    "fallocate": (False, FD, DECIMAL, NUMBER, NUMBER), "discard": (False, FD, NUMBER, NUMBER),
    "zerofill": (False, FD, NUMBER, NUMBER),
    "setfsuid": (False, DECIMAL), "setfsgid": (False, DECIMAL),
}

fs = None
fds = {}


def value(kind, word):
    if kind in (PATH, NAME):
        return word.encode()
    if kind == FD:
        return fds[word]
    return int(word, 8 if kind == OCTAL else 10)


def perform(verb, words):
    if verb in PLAIN:
        on_volume, *kinds = PLAIN[verb]
        f = function(verb, c_int, *([c_void_p] if on_volume else []), *(C_TYPE[k] for k in kinds))
        assert len(kinds) == len(words), f"{verb} takes {len(kinds)} words"
        return f(*([fs] if on_volume else []), *(value(k, w) for k, w in zip(kinds, words)))
    if verb in ("creat", "open"):
        f = function(verb, c_void_p, c_void_p, c_char_p, c_int, *([c_uint] * (verb == "creat")))
        name, path, flags, *mode = words
        fd = f(fs, path.encode(), int(flags), *(int(m, 8) for m in mode))
        if not fd:
            return -1
        fds[name] = fd
        return 0
    if verb == "write":
        f = function("pwrite", c_int64, c_void_p, c_char_p, c_size_t, c_int64, c_int, c_void_p,
                     c_void_p)
        fd, offset, text = words
        return f(fds[fd], text.encode(), len(text.encode()), int(offset), 0, None, None)
    if verb == "ftruncate":
        f = function("ftruncate", c_int, c_void_p, c_int64, c_void_p, c_void_p)
        return f(fds[words[0]], int(words[1]), None, None)
    if verb == "fsync":
        return function("fsync", c_int, c_void_p, c_void_p, c_void_p)(fds[words[0]], None, None)
    if verb == "setxattr":
        f = function("setxattr", c_int, c_void_p, c_char_p, c_char_p, c_char_p, c_size_t, c_int)
        path, name, text = words
        return f(fs, path.encode(), name.encode(), text.encode(), len(text), 0)
    if verb == "fsetxattr":
        f = function("fsetxattr", c_int, c_void_p, c_char_p, c_char_p, c_size_t, c_int)
        fd, name, text = words
        return f(fds[fd], name.encode(), text.encode(), len(text), 0)
    if verb == "copy_file_range":
        f = function("copy_file_range", c_int64, c_void_p, POINTER(c_int64), c_void_p,
                     POINTER(c_int64), c_size_t, c_uint, c_void_p, c_void_p, c_void_p)
        source, off_in, target, off_out, length = words
        return f(fds[source], byref(c_int64(int(off_in))), fds[target],
                 byref(c_int64(int(off_out))), int(length), 0, None, None, None)
    if verb == "ipc":
        number, key, digits = words
        content = bytes.fromhex(digits)
        xdata = dict_new()
        assert dict_set_static_bin(xdata, key.encode(), content, len(content)) == 0
        return function("ipc", c_int, c_void_p, c_int, c_void_p, c_void_p)(
            fs, int(number), xdata, None)
    raise AssertionError(f"unknown command: {verb}")


def main():
    global fs
    volfile, log = sys.argv[1:]
    fs = new(b"any")
    set_volfile(fs, volfile.encode())
    set_logging(fs, log.encode(), LOG_INFO)
    if init(fs) != 0:
        raise OSError(ctypes.get_errno(), "glfs_init")
    for line in sys.stdin:
        verb, *words = line.split()
        ctypes.set_errno(0)
        answer = perform(verb, words)
        print(f"errno {ctypes.get_errno()}" if answer < 0 else f"ok {answer}")


try:
    main()
    status = 0
except Exception as error:  # whatever it is, the client must not linger
    print(f"gfapi.py: {error!r}", file=sys.stderr)
    status = 1
sys.stdout.flush()
sys.stderr.flush()
os._exit(status)  # glfs_fini would take ten seconds
