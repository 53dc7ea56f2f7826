# shellcheck shell=bash
# The first process of a test's namespaces: makes the system directories private, runs the
# test, and reaps the orphans that it inherits. Its end kills whatever is left in here.
set -e
ip link set lo up
mkdir -p /var/lib/glusterd /var/log/glusterfs
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib/glusterd
mkdir -p /run/gluster /run/lock "$GNOTIFY_SANDBOX/log"
# GlusterFS's tools keep state here, and make themselves known to ssh.
mkdir -p /var/lib/misc
mount -t tmpfs -o mode=755 tmpfs /var/lib/misc
mkdir -p -m 700 ~root/.ssh
mount -t tmpfs -o mode=700 tmpfs ~root/.ssh
mount --bind "$GNOTIFY_SANDBOX/log" /var/log/glusterfs
set +e
"$@"
exit $?
