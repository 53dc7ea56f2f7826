#!/bin/bash
# Makes sure that this machine can build gnotify and run GlusterFS, or says in one line why not.
#
#   need.sh [PACKAGE...]    more Debian packages than the usual ones
#
# Missing Debian packages are installed. When none is missing, neither apt nor the network is used.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "gnotify: $*" >&2
    exit 1
}

# At run time: the host and its tools. For the build: a linker, and what the host's headers include.
packages=(
    glusterfs-server glusterfs-client libgfapi0 libgfchangelog0 attr iproute2 util-linux
    e2fsprogs xfsprogs python3 python3-pyxattr openssh-client openssh-server
    rsync strace fio
    gcc libc6-dev libglusterfs-dev libacl1-dev liburcu-dev libssl-dev uuid-dev libclang-dev
    pkg-config "$@"
)

command -v "${CARGO:-cargo}" >/dev/null ||
    fail "cargo is missing: install Rust (https://rustup.rs) and open a new shell"
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
rust=$("${CARGO:-cargo}" --version | cut -d ' ' -f 2)
[ "$(printf '%s\n' "$oldest" "$rust" | sort -V | head -n 1)" = "$oldest" ] ||
    fail "Rust is $rust, but $oldest or newer is needed: run rustup update"
[ "$(id -u)" = 0 ] ||
    fail "not root, which bricks and mounts need: run make as root"
[ -e /dev/fuse ] || modprobe -q fuse 2>/dev/null || :
{ [ -c /dev/fuse ] && : <>/dev/fuse; } 2>/dev/null ||
    fail "/dev/fuse cannot be opened: load the fuse module, or let the container use the device"
command -v dpkg-query >/dev/null ||
    fail "not Debian: install the equivalents of these by hand: ${packages[*]}"

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || :)
    [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "gnotify: installing Debian packages: ${missing[*]}"
# A test starts sshd, in a network of its own. This machine is not to serve ssh because of that.
if [[ " ${missing[*]} " == *" openssh-server "* ]]; then
    mkdir -p /etc/ssh
    echo "From gnotify's tests. Remove this file to serve ssh." >/etc/ssh/sshd_not_to_be_run
fi
mkdir -p target
log=$PWD/target/apt.log
export DEBIAN_FRONTEND=noninteractive
{ apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 </dev/null ||
    fail "cannot install ${missing[*]} ($log tells why): check the network, or install them by hand"
