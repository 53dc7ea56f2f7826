#!/bin/bash
# A brick with gnotify on a unix socket, mounted twice, and its journal on the terminal.
#
#   [ONCE=1] demo.sh TARGET-DIRECTORY
#
# Everything is in TARGET/demo: the brick, the mounts `one` and `two`, logs, the ring. It all runs
# until Ctrl-C, or with ONCE=1 until the script is through. Then mounts and processes are gone;
# the brick stays to be looked at, and the next demo removes it.
set -euo pipefail

repository=$(cd "$(dirname "$0")/.." && pwd)
target=$1
demo=$target/demo
gnotify=$target/debug/gnotify
socket=$demo/run/brick.socket
PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "gnotify: $*" >&2
    exit 1
}

# The kernel's limit for the address of a unix socket.
[ ${#socket} -le 107 ] || fail "$socket is too long a path for a socket: use a shorter directory"

mkdir -p "$target"
exec 9>"$target/demo.lock"
flock -n 9 || fail "another demo runs in $demo: end it first"

pids=()
made_run_gluster=
[ -e /run/gluster ] || made_run_gluster=1

unmount_all() {
    local mount
    for mount in "$demo/one" "$demo/two"; do
        if grep -qF " $mount fuse" /proc/mounts; then umount "$mount" 2>/dev/null || umount -l "$mount"; fi
    done
}

clean_up() {
    local pid
    trap '' INT TERM HUP
    unmount_all
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || :; done
    for pid in "${pids[@]}"; do
        # A daemon that does not go by itself within a minute is made to.
        for _ in {1..600}; do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null || :
        wait "$pid" 2>/dev/null || :
    done
    rm -rf "$demo/run"
    [ -z "$made_run_gluster" ] || rmdir /run/gluster 2>/dev/null || :
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Starts a process that dies with this script, whatever ends it; not by the terminal's Ctrl-C.
start() {
    setsid setpriv --pdeathsig TERM "$@" 9>&- &
    pids+=($!)
}

# Polls until a command succeeds, while the process that was started last lives.
await() { # WHAT LOG COMMAND...
    local what=$1 log=$2
    shift 2
    for _ in {1..1200}; do
        if "$@" 2>/dev/null; then return; fi
        kill -0 "${pids[-1]}" 2>/dev/null || { tail -n 20 "$log" >&2; fail "$what failed; see $log"; }
        sleep 0.1
    done
    fail "$what takes more than two minutes; see $log"
}

# ---- a brick and two mounts

unmount_all # of a demo that was killed
rm -rf --one-file-system "$demo"
mkdir -p "$demo"/{brick,one,two,run,log}

up=$(glusterfsd --print-xlatordir | sed 's|/[^/]*|../|g') # from there to the root
sed -e "s|@PLUGIN@|$up${target#/}/debug/libgnotify|" -e "s|@BRICK@|$demo/brick|" \
    -e "s|@SOCKET@|$socket|" \
    -e "s|@OPTIONS@|option journal on\n  option detail all\n  option ring-dir $demo/run|" \
    "$repository/volfiles/brick.vol" >"$demo/brick.vol"
sed -e "s|@SOCKET@|$socket|" "$repository/volfiles/client.vol" >"$demo/client.vol"

serves() { grep -q 'Final graph:' "$demo/log/brick.log" && [ -S "$socket" ]; }
start glusterfsd -N -f "$demo/brick.vol" -l "$demo/log/brick.log"
await "the brick" "$demo/log/brick.log" serves

answers() { grep -qF " $demo/$1 fuse" /proc/mounts && timeout -s KILL 10 stat "$demo/$1" >/dev/null; }
for mount in one two; do
    start glusterfs -N -f "$demo/client.vol" -l "$demo/log/$mount.log" \
        --attribute-timeout=0 --entry-timeout=0 --negative-timeout=0 "$demo/$mount"
    await "mount $mount" "$demo/log/$mount.log" answers "$mount"
done

# ---- the journal on the terminal

echo "The journal of $demo/brick:"
start "$gnotify" dump --follow --paths "$demo/brick" > >(exec tee "$demo/log/journal.txt" 9>&-)
follower=${pids[-1]}
shown() { grep -q "$@" "$demo/log/journal.txt"; }
await "gnotify dump" "$demo/log/journal.txt" shown START

step() { # MOUNT COMMAND...: says and does it; a moment later its records are on the terminal
    local mount=$1
    shift
    echo "$mount\$ $*"
    (cd "$demo/$mount" && bash -c "$*")
    sleep 0.3
}

step one "echo hello > letter"
step two "cat letter && echo world >> letter"
step one "mkdir box"
step two "mv letter box/mail"
step one "chmod 640 box/mail"
step two "setfattr -n user.colour -v blue box/mail"
step one "ln box/mail copy"
step two "ln -s box/mail shortcut"
step one "truncate -s 3 copy"
step two "rm shortcut copy"
step one "rm box/mail"
step two "rmdir box"
await "gnotify dump" "$demo/log/journal.txt" shown -i rmdir

cat <<EOF

Two mounts of this brick:
  $demo/one
  $demo/two
Change something there from another terminal and see it appear here:
  cp /etc/hostname $demo/one/ && rm $demo/two/hostname
The journal once more, as JSON:
  $gnotify dump --json $demo/brick
EOF
if [ -n "${ONCE:-}" ]; then exit 0; fi
echo "Ctrl-C ends the demo."
wait "$follower" || fail "gnotify dump has ended"
