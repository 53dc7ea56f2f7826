/*
 * The host's headers that a translator needs, and nothing else: what build.rs hands to bindgen.
 * async.h and gf-io.h stay out; they pull in the whole of userspace-RCU for things we never touch.
 */
#include <glusterfs/glusterfs.h>
#include <glusterfs/xlator.h>
#include <glusterfs/defaults.h>
#include <glusterfs/dict.h>
#include <glusterfs/inode.h>
#include <glusterfs/fd.h>
#include <glusterfs/iatt.h>
#include <glusterfs/stack.h>
#include <glusterfs/call-stub.h>
#include <glusterfs/client_t.h>
#include <glusterfs/options.h>
#include <glusterfs/statedump.h>
#include <glusterfs/upcall-utils.h>
#include <glusterfs/glusterfs-fops.h>
#include <glusterfs/globals.h>
