//! Generates the Rust view of the installed GlusterFS headers.
//!
//! Layouts differ between GlusterFS's major releases, so nothing generated is committed: a build is for the
//! release whose headers it found, and `abi::probe` refuses any other host at load time.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

/// A header we or the host's headers include, and the Debian package that ships it.
const NEEDED: &[(&str, &str)] = &[
    ("glusterfs/xlator.h", "libglusterfs-dev"),
    ("urcu/compiler.h", "liburcu-dev"),
    ("urcu/arch.h", "liburcu-dev"),
    ("uuid/uuid.h", "uuid-dev"),
    ("openssl/sha.h", "libssl-dev"),
];

/// GlusterFS does not ship its config.h; these are the parts of it that its public headers read.
///
/// `HAVE_ATOMIC_BUILTINS` is the dangerous one: without it everything compiles, with wrong layouts.
/// `DEBUG` and `GF_DISABLE_MEMPOOL` must stay undefined, as in every distribution's build.
const DEFINES: &[&str] = &[
    "-DGF_LINUX_HOST_OS=1",
    "-DSIZEOF_LONG=8",
    "-DHAVE_ATOMIC_BUILTINS=1",
    "-D_GNU_SOURCE",
    "-D_FILE_OFFSET_BITS=64",
    "-D__USE_FILE_OFFSET64",
    "-D__USE_LARGEFILE64",
];

const TYPES: &[&str] = &[
    "xlator_api_t",
    "xlator_t",
    "xlator_fops",
    "xlator_cbks",
    "xlator_dumpops",
    "volume_options",
    "volume_option_t",
    "call_frame_t",
    "call_stack_t",
    "call_pool_t",
    "call_stub_t",
    "ret_fn_t",
    "client_t",
    "gf_upcall.*",
    "fop_.*_t",
    "gf_dirent_t",
    "glusterfs_fop_t",
    "glusterfs_event_t",
    "gf_loglevel_t",
    "gf_category_t",
    "ia_type_t",
    "gf_common_mem_types_",
    "_gf_xlator_ipc_targets",
    "_gf_special_pid",
    "opt_flags_t",
    "volume_option_type_t",
    "data_pair_t",
    "mem_pool",
    "lock_migration_info_t",
];

const FUNCTIONS: &[&str] = &[
    "__glusterfs_this_location",
    "default_.*",
    "dict_.*",
    "data_.*",
    "bin_to_data",
    "int_to_data",
    "str_to_data",
    "inode_.*",
    "__inode_.*",
    "fd_.*",
    "__fd_.*",
    "loc_.*",
    "syncop_.*",
    "mem_get.*",
    "mem_put.*",
    "__gf_.*",
    "_gf_msg.*",
    "_gf_log.*",
    "gf_proc_dump_.*",
    "gf_client_.*",
    "client_ctx_.*",
    "xlator_mem_acct_init",
    "xlator_option_.*",
    "xlator_subvolume_count",
    "iobref_.*",
    "gf_time_fmt.*",
    "fop_.*_stub",
    "call_resume",
    "call_stub_destroy",
    "create_frame",
    // For the tests, which make themselves a host.
    "glusterfs_ctx_new",
    "glusterfs_globals_init",
    "mem_pools_init",
    "mem_pool_new_fn",
    "gf_dirent_.*",
];

const VARS: &[&str] = &[
    "UP_.*",
    "GF_SET_ATTR_.*",
    "GF_FOP_.*",
    "GF_XATTROP_.*",
    "IATT_.*",
    "GF_LOG_.*",
    "GF_OPTION_.*",
    "GF_MAX_RELEASES",
    "GD_OP_VERSION_.*",
    "GLUSTERFS_.*",
    "GF_.*_KEY",
    "GF_GFIDLESS_LOOKUP",
    "GF_INTERNAL_.*",
    "GF_XATTR_.*",
    "DHT_.*_KEY",
    "GFID_.*",
    "TRASH_.*",
    "SMALL_GROUP_COUNT",
    "global_ctx",
];

/// C's own types, which libc already has: taken from there so that no cast stands at the boundary.
const FROM_LIBC: &[&str] = &[
    "pthread_mutex_t",
    "pthread_cond_t",
    "pthread_t",
    "iovec",
    "timespec",
    "timeval",
    "statvfs",
    "off_t",
    "mode_t",
    "dev_t",
    "uid_t",
    "gid_t",
    "pid_t",
    "time_t",
];

/// Structures whose insides are none of our business, and costly to spell out.
const OPAQUE: &[&str] =
    &["synctask", "syncenv", "syncproc", "ucontext_t", "_IO_FILE", "rpc_clnt.*", "SHA.*", "MD5.*"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=wrapper.h");
    println!("cargo:rerun-if-env-changed=GNOTIFY_GLUSTERFS_INCLUDE");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");

    let roots = include_roots();
    require_headers(&roots);
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_else(|| fail("OUT_DIR is not set")));
    // bindgen loads libclang when it is first needed, and panics where it finds none.
    let generated = match panic::catch_unwind(|| configure(&roots).generate()) {
        Ok(Ok(generated)) => generated,
        Ok(Err(error)) => fail(&format!("bindgen could not read GlusterFS's headers: {error}")),
        Err(_) => fail("bindgen could not start; if libclang is missing: apt install libclang-dev"),
    };
    let generated = generated.to_string();
    for (file, text) in [("fops.rs", fop_modules(&generated)), ("glusterfs.rs", generated)] {
        if let Err(error) = fs::write(out.join(file), text) {
            fail(&format!("cannot write {file}: {error}"));
        }
    }
    println!("cargo:rustc-link-lib=dylib=glusterfs");
}

/// Where `glusterfs/xlator.h` may live: the override alone, or pkg-config's answer before /usr/include.
fn include_roots() -> Vec<PathBuf> {
    if let Some(dir) = env::var_os("GNOTIFY_GLUSTERFS_INCLUDE") {
        return vec![PathBuf::from(dir), PathBuf::from("/usr/include")];
    }
    let mut roots = Vec::new();
    let answer =
        Command::new("pkg-config").args(["--variable=includedir", "glusterfs-api"]).output();
    if let Ok(answer) = answer
        && answer.status.success()
    {
        let dir = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        if !dir.is_empty() {
            roots.push(PathBuf::from(dir));
        }
    }
    let default = PathBuf::from("/usr/include");
    if !roots.contains(&default) {
        roots.push(default);
    }
    roots
}

fn require_headers(roots: &[PathBuf]) {
    for (header, package) in NEEDED {
        if find(roots, header).is_none() {
            fail(&format!(
                "{header} not found below {roots:?}: apt install {package}\n\
                 (GNOTIFY_GLUSTERFS_INCLUDE=DIR names the directory that holds glusterfs/xlator.h)"
            ));
        }
    }
}

fn find(roots: &[PathBuf], header: &str) -> Option<PathBuf> {
    let triplet = format!("{}-linux-gnu", env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default());
    roots
        .iter()
        .flat_map(|root| [root.join(header), root.join(&triplet).join(header)])
        .find(|p| p.exists())
}

fn configure(roots: &[PathBuf]) -> bindgen::Builder {
    let mut builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(DEFINES)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .use_core()
        .layout_tests(true)
        .derive_debug(false)
        .derive_default(false)
        .generate_comments(false)
        .merge_extern_blocks(true)
        .wrap_unsafe_ops(true)
        .generate_cstr(true)
        // A C enum crosses as a plain integer: a value we do not know must not be undefined behaviour.
        .default_enum_style(bindgen::EnumVariation::ModuleConsts)
        .raw_line("pub use libc::{")
        .raw_line(FROM_LIBC.join(", "))
        .raw_line("};");
    for root in roots {
        builder = builder.clang_arg(include(root)).clang_arg(include(&root.join("uuid")));
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in VARS {
        builder = builder.allowlist_var(name);
    }
    for name in FROM_LIBC {
        builder = builder.blocklist_type(name);
    }
    for name in OPAQUE {
        builder = builder.opaque_type(name);
    }
    builder
}

/// One module a fop, from the host's own table: macro_rules cannot make `writev_cbk` out of `writev`.
fn fop_modules(generated: &str) -> String {
    let table = generated
        .split("pub struct xlator_fops {")
        .nth(1)
        .and_then(|rest| rest.split('}').next())
        .unwrap_or_else(|| fail("the headers have no struct xlator_fops"));
    let slots: Vec<(&str, &str)> = table
        .split(',')
        .filter_map(|field| field.trim().strip_prefix("pub ")?.split_once(':'))
        .map(|(name, kind)| (name.trim(), kind.trim()))
        .filter(|(_, kind)| kind.starts_with("fop_"))
        .collect();
    let mut text = String::new();
    let mut all = String::new();
    for (name, call) in slots.iter().filter(|(name, _)| !name.ends_with("_cbk")) {
        let Some((_, reply)) =
            slots.iter().find(|(slot, _)| slot.strip_suffix("_cbk") == Some(name))
        else {
            fail(&format!("the host's fop {name} has no reply slot"));
        };
        let _ = writeln!(
            text,
            "/// The host's fop `{name}`.\npub mod {name} {{\n\
             /// What the table's slot holds.\npub type Call = crate::sys::{call};\n\
             /// What answers it.\npub type Reply = crate::sys::{reply};\n\
             /// The host's number of it.\npub const NUMBER: u32 = \
             super::number(core::mem::offset_of!(crate::sys::xlator_fops, {name}));\n}}"
        );
        let _ = write!(all, "(\"{name}\", {name}::NUMBER),");
    }
    let _ = writeln!(
        text,
        "/// Every fop of the host, in the order of its table.\npub const ALL: &[(&str, u32)] = &[{all}];"
    );
    text
}

fn include(dir: &Path) -> String {
    format!("-I{}", dir.display())
}

fn fail(message: &str) -> ! {
    eprintln!("gnotify-bindings: {message}");
    process::exit(1);
}
