# shellcheck shell=bash
# The first process of a test's namespaces: makes the system directories private, runs the
# test, and reaps the orphans that it inherits. Its end kills whatever is left in here.
set -e
ip link set lo up
mkdir -p /var/lib/glusterd /var/log/glusterfs
mount -t tmpfs -o mode=755 tmpfs /run
# Without this script of its package, glusterd makes no session of geo-replication.
hook=/var/lib/glusterd/hooks/1/gsync-create
[ ! -d $hook ] || cp -a $hook /run/
mount -t tmpfs -o mode=755 tmpfs /var/lib/glusterd
if [ -d /run/gsync-create ]; then
    mkdir -p ${hook%/*}
    mv /run/gsync-create $hook
fi
mkdir -p /run/gluster /run/lock /run/tmp "$GNOTIFY_SANDBOX/log"
# What a tool that is killed leaves behind goes with the sandbox.
export TMPDIR=/run/tmp
# GlusterFS's tools keep state here, and make themselves known to ssh.
mkdir -p /var/lib/misc
mount -t tmpfs -o mode=755 tmpfs /var/lib/misc
mkdir -p -m 700 ~root/.ssh
mount -t tmpfs -o mode=700 tmpfs ~root/.ssh
mount --bind "$GNOTIFY_SANDBOX/log" /var/log/glusterfs
set +e
"$@"
exit $?
