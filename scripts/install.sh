#!/bin/bash
# Installs what was built. Files are replaced by rename: a running brick has the old plugin
# mapped, and keeps it until it is restarted.
#
#   DESTDIR=DIR PREFIX=DIR install.sh PLUGIN COMMAND MAN-PAGE
set -euo pipefail

plugin=$1 command=$2 man_page=$3
dest=${DESTDIR:-} prefix=${PREFIX:-/usr/local}

PATH=$PATH:/usr/sbin:/sbin
if ! xlators=$(glusterfsd --print-xlatordir 2>/dev/null) || [ -z "$xlators" ]; then
    echo "gnotify: glusterfsd is missing: apt-get install glusterfs-server" >&2
    exit 1
fi

new=
trap '[ -z "$new" ] || rm -f "$new"' EXIT

put() { # MODE SOURCE TARGET
    local target=$dest$3
    mkdir -p "$(dirname "$target")"
    new=$target.new.$$
    install -m "$1" "$2" "$new"
    mv -fT "$new" "$target"
    new=
    echo "$target"
}

put 644 "$plugin" "$xlators/features/gnotify.so"
put 644 "$plugin" "$xlators/user/gnotify.so"
put 755 "$command" "$prefix/bin/gnotify"
put 644 "$man_page" "$prefix/share/man/man1/gnotify.1"
