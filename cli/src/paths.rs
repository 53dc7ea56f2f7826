//! Where an inode is on the brick now, by the brick's own handle links.
//!
//! GlusterFS keeps a link for every inode at `.glusterfs/aa/bb/<gfid>`. A directory's is symbolic and
//! names its parent and its name there, so that following them up to the root gives a path. All other
//! inodes' are hard links; their paths come from extended attributes `trusted.gfid2path.*`, one a name,
//! which only root can read and which GlusterFS keeps only for a limited number of names.
//!
//! What is found holds for now. The journal tells of the past: a directory may have moved since, and
//! then a path is one that the file never had at the time of the record.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gnotify_journal::{Statement, What};
use gnotify_record::{FileType, Fop, Gfid, Link, Record};

/// Directories that are remembered; more than this many are forgotten together.
const REMEMBERED: usize = 100_000;

/// The deepest directory that is followed up to the root: a longer chain is a damaged one.
const DEEPEST: usize = 4096;

/// The longest list or value of extended attributes that Linux gives out.
const XATTR_MAX: usize = 64 * 1024;

/// The names by which a record's inode is shown.
///
/// A path begins with `/`, the root of the brick; where the way up to there is not known, with
/// `<gfid:...>` for the last directory, or the inode itself, that is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Names {
    /// The entry of the fop; of a fop on an inode alone, the inode's first name.
    pub(crate) path: Option<Vec<u8>>,
    /// Where a rename put it.
    pub(crate) to: Option<Vec<u8>>,
    /// The other names of an inode that has several.
    pub(crate) others: Vec<Vec<u8>>,
}

impl Names {
    /// The names that the record itself gives.
    pub(crate) fn recorded(record: &Record<'_>) -> Names {
        let own = || record.gfid.map(recorded_dir).map(or_root);
        Names {
            path: record.at.as_ref().map(|link| join(recorded_dir(link.parent), link)).or_else(own),
            to: record.to.as_ref().map(|link| join(recorded_dir(link.parent), link)),
            others: Vec::new(),
        }
    }
}

/// A directory as the start of a path: nothing for the root, which needs no brick to be known.
fn recorded_dir(gfid: Gfid) -> Vec<u8> {
    if gfid == Gfid::ROOT { Vec::new() } else { format!("<gfid:{gfid}>").into_bytes() }
}

fn or_root(path: Vec<u8>) -> Vec<u8> {
    if path.is_empty() { b"/".to_vec() } else { path }
}

fn join(mut dir: Vec<u8>, link: &Link<'_>) -> Vec<u8> {
    dir.push(b'/');
    dir.extend_from_slice(&link.name);
    dir
}

/// Finds paths on a brick, and remembers those of directories until the journal says that one moved.
#[derive(Debug)]
pub(crate) struct Resolver {
    handles: PathBuf,
    dirs: HashMap<Gfid, Vec<u8>>,
    /// Gives the `<parent gfid>/<name>` of a handle that is a hard link.
    links: fn(&Path) -> Vec<Vec<u8>>,
}

impl Resolver {
    pub(crate) fn new(brick: &Path) -> Resolver {
        Resolver { handles: brick.join(".glusterfs"), dirs: HashMap::new(), links: gfid2path }
    }

    /// Forgets what an entry may have made untrue. Every entry has to be shown here, in order, also
    /// those that are not printed.
    pub(crate) fn heed(&mut self, what: &What<'_>) {
        match what {
            What::Record(record) => {
                let directory = matches!(record.kind, None | Some(FileType::Directory));
                match record.fop {
                    // Everything below it moves along.
                    Fop::RENAME if directory => self.dirs.clear(),
                    // It was empty.
                    Fop::RMDIR => match record.gfid {
                        Some(gfid) => drop(self.dirs.remove(&gfid)),
                        None => self.dirs.clear(),
                    },
                    _ => {}
                }
            }
            // Directories may have moved unseen.
            What::Statement(
                Statement::Start(_)
                | Statement::Gap(_)
                | Statement::Void { .. }
                | Statement::Off
                | Statement::On
                | Statement::Unknown(_),
            ) => self.dirs.clear(),
            What::Statement(_) => {}
        }
    }

    /// The names of a record's inode, with directories as they are now.
    pub(crate) fn names(&mut self, record: &Record<'_>) -> Names {
        let to = record.to.as_ref().map(|link| self.link(link));
        if let Some(at) = &record.at {
            return Names { path: Some(self.link(at)), to, others: Vec::new() };
        }
        let Some(gfid) = record.gfid else {
            return Names { path: None, to, others: Vec::new() };
        };
        let mut paths = self.inode(gfid, record.kind).into_iter();
        let path = paths.next().unwrap_or_else(|| recorded_dir(gfid));
        Names { path: Some(or_root(path)), to, others: paths.collect() }
    }

    fn link(&mut self, link: &Link<'_>) -> Vec<u8> {
        let dir = self.dir(link.parent).unwrap_or_else(|| recorded_dir(link.parent));
        join(dir, link)
    }

    /// The paths of an inode, in order; none where it is gone or its names cannot be read.
    fn inode(&mut self, gfid: Gfid, kind: Option<FileType>) -> Vec<Vec<u8>> {
        if gfid == Gfid::ROOT {
            return vec![Vec::new()];
        }
        let handle = self.handle(gfid);
        let Ok(metadata) = fs::symlink_metadata(&handle) else { return Vec::new() };
        // The handle of a symbolic link that a user made is one, too, and has two names at least. Its
        // content is the user's, and must not be taken for a directory's.
        let directory = metadata.is_symlink()
            && metadata.nlink() == 1
            && matches!(kind, None | Some(FileType::Directory));
        if directory {
            return self.dir(gfid).into_iter().collect();
        }
        let mut paths: Vec<Vec<u8>> = (self.links)(&handle)
            .iter()
            .filter_map(|value| {
                let link = parse_link(value)?;
                Some(self.link(&link))
            })
            .collect();
        paths.sort_unstable();
        paths
    }

    /// The path of a directory: empty for the root, else beginning with '/'.
    fn dir(&mut self, gfid: Gfid) -> Option<Vec<u8>> {
        let mut below = Vec::new();
        let mut at = gfid;
        let mut path = loop {
            if at == Gfid::ROOT {
                break Vec::new();
            }
            if let Some(path) = self.dirs.get(&at) {
                break path.clone();
            }
            let (parent, name) = parse_handle(&fs::read_link(self.handle(at)).ok()?)?;
            below.push((at, name));
            if below.len() > DEEPEST {
                return None;
            }
            at = parent;
        };
        if self.dirs.len() + below.len() > REMEMBERED {
            self.dirs.clear();
        }
        for (gfid, name) in below.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(&name);
            self.dirs.insert(gfid, path.clone());
        }
        Some(path)
    }

    fn handle(&self, gfid: Gfid) -> PathBuf {
        let text = gfid.to_string();
        self.handles.join(&text[0..2]).join(&text[2..4]).join(text)
    }
}

/// Takes the content of a directory's handle apart: `../../pp/qq/<parent gfid>/<name>`.
fn parse_handle(content: &Path) -> Option<(Gfid, Vec<u8>)> {
    let content = content.as_os_str().as_bytes();
    let rest = content.strip_prefix(b"../../")?;
    let mut parts = rest.splitn(4, |byte| *byte == b'/');
    let [first, second, gfid, name] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let gfid_text = str::from_utf8(gfid).ok()?;
    let agrees = gfid_text.len() == 36 && &gfid[0..2] == first && &gfid[2..4] == second;
    (agrees && is_name(name)).then(|| Some((gfid_text.parse().ok()?, name.to_vec())))?
}

/// Takes the value of a `trusted.gfid2path.*` apart: `<parent gfid>/<name>`.
fn parse_link(value: &[u8]) -> Option<Link<'_>> {
    let (gfid, name) = value.split_at_checked(36)?;
    let name = name.strip_prefix(b"/").filter(|name| is_name(name))?;
    let parent = str::from_utf8(gfid).ok()?.parse().ok()?;
    Some(Link { parent, name: name.into() })
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// The values of a handle's `trusted.gfid2path.*`; none without the right to read them.
fn gfid2path(handle: &Path) -> Vec<Vec<u8>> {
    let mut list = Vec::with_capacity(XATTR_MAX);
    if rustix::fs::llistxattr(handle, rustix::buffer::spare_capacity(&mut list)).is_err() {
        return Vec::new();
    }
    list.split(|byte| *byte == 0)
        .filter(|name| name.starts_with(b"trusted.gfid2path."))
        .filter_map(|name| {
            let mut value = Vec::with_capacity(XATTR_MAX);
            let spare = rustix::buffer::spare_capacity(&mut value);
            rustix::fs::lgetxattr(handle, OsStr::from_bytes(name), spare).ok()?;
            Some(value)
        })
        .collect()
}

/// The brick to which a segment belongs: `BRICK/.glusterfs/gnotify/<segment>`.
pub(crate) fn brick_of(segment: &Path) -> Option<PathBuf> {
    let absolute = fs::canonicalize(segment).ok()?;
    let brick = absolute.ancestors().nth(3)?;
    absolute.starts_with(crate::source::journal_of(brick)).then(|| brick.to_owned())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::os::unix::fs::symlink;

    use gnotify_record::Origin;

    use super::*;

    fn gfid(byte: u8) -> Gfid {
        Gfid([byte; 16])
    }

    fn link(parent: Gfid, name: &[u8]) -> Option<Link<'static>> {
        Some(Link { parent, name: Cow::Owned(name.to_vec()) })
    }

    fn record(fop: Fop) -> Record<'static> {
        Record { kind: Some(FileType::Regular), ..Record::new(fop, Origin::Client) }
    }

    /// A brick with nothing but handles.
    struct Brick(tempfile::TempDir);

    impl Brick {
        fn new() -> Brick {
            Brick(tempfile::tempdir().unwrap())
        }

        fn resolver(&self) -> Resolver {
            Resolver::new(self.0.path())
        }

        fn handle(&self, gfid: Gfid) -> PathBuf {
            let handle = self.resolver().handle(gfid);
            fs::create_dir_all(handle.parent().unwrap()).unwrap();
            handle
        }

        fn dir(&self, gfid: Gfid, parent: Gfid, name: &[u8]) {
            let parent = parent.to_string();
            let mut content =
                format!("../../{}/{}/{parent}/", &parent[0..2], &parent[2..4]).into_bytes();
            content.extend_from_slice(name);
            let handle = self.handle(gfid);
            let _ = fs::remove_file(&handle);
            symlink(OsStr::from_bytes(&content), handle).unwrap();
        }
    }

    fn text(path: Option<Vec<u8>>) -> String {
        String::from_utf8(path.unwrap()).unwrap()
    }

    #[test]
    fn directories_are_followed_up_to_the_root() {
        let brick = Brick::new();
        brick.dir(gfid(1), Gfid::ROOT, b"a");
        brick.dir(gfid(2), gfid(1), b"b c");
        let mut resolver = brick.resolver();
        let create = Record { at: link(gfid(2), b"new"), ..record(Fop::CREATE) };
        assert_eq!(text(resolver.names(&create).path), "/a/b c/new");
        let mkdir = Record { at: link(Gfid::ROOT, b"top"), ..record(Fop::MKDIR) };
        assert_eq!(text(resolver.names(&mkdir).path), "/top");
        let chmod =
            Record { gfid: Some(gfid(2)), kind: Some(FileType::Directory), ..record(Fop::SETATTR) };
        assert_eq!(text(resolver.names(&chmod).path), "/a/b c");
        let root = Record { gfid: Some(Gfid::ROOT), ..chmod };
        assert_eq!(text(resolver.names(&root).path), "/");
    }

    #[test]
    fn what_is_gone_is_shown_by_the_last_gfid_that_is_known() {
        let brick = Brick::new();
        let mut resolver = brick.resolver();
        let unlink = Record { at: link(gfid(7), b"old"), ..record(Fop::UNLINK) };
        let want = format!("<gfid:{}>/old", gfid(7));
        assert_eq!(text(resolver.names(&unlink).path), want);
        assert_eq!(text(Names::recorded(&unlink).path), want);
        let write = Record { gfid: Some(gfid(8)), ..record(Fop::WRITE) };
        assert_eq!(text(resolver.names(&write).path), format!("<gfid:{}>", gfid(8)));
        assert_eq!(resolver.names(&record(Fop::WRITE)).path, None);
    }

    #[test]
    fn a_renamed_directory_is_looked_up_again() {
        let brick = Brick::new();
        brick.dir(gfid(1), Gfid::ROOT, b"a");
        brick.dir(gfid(2), gfid(1), b"b");
        let mut resolver = brick.resolver();
        let create = Record { at: link(gfid(2), b"f"), ..record(Fop::CREATE) };
        assert_eq!(text(resolver.names(&create).path), "/a/b/f");
        brick.dir(gfid(1), Gfid::ROOT, b"z");
        assert_eq!(text(resolver.names(&create).path), "/a/b/f", "it is not remembered");
        // A file that moves changes nothing for directories.
        let rename = Record { gfid: Some(gfid(1)), ..record(Fop::RENAME) };
        resolver.heed(&What::Record(rename.clone()));
        assert_eq!(text(resolver.names(&create).path), "/a/b/f");
        let rename = Record { kind: Some(FileType::Directory), ..rename };
        resolver.heed(&What::Record(rename));
        assert_eq!(text(resolver.names(&create).path), "/z/b/f");
        fs::remove_file(brick.handle(gfid(2))).unwrap();
        let rmdir = Record { gfid: Some(gfid(2)), ..record(Fop::RMDIR) };
        resolver.heed(&What::Record(rmdir));
        assert_eq!(text(resolver.names(&create).path), format!("<gfid:{}>/f", gfid(2)));
        brick.dir(gfid(2), Gfid::ROOT, b"back");
        resolver.heed(&What::Statement(Statement::On));
        assert_eq!(text(resolver.names(&create).path), "/back/f");
    }

    #[test]
    fn a_users_symbolic_link_is_no_directory() {
        let brick = Brick::new();
        brick.dir(gfid(9), Gfid::ROOT, b"forged");
        fs::hard_link(brick.handle(gfid(9)), brick.0.path().join("mine")).unwrap();
        let chown = Record { gfid: Some(gfid(9)), kind: None, ..record(Fop::SETATTR) };
        assert_eq!(text(brick.resolver().names(&chown).path), format!("<gfid:{}>", gfid(9)));
    }

    #[test]
    fn handles_that_are_none_are_refused() {
        let good = "../../0a/0b/0a0b0000-0000-0000-0000-000000000000/name";
        assert!(parse_handle(Path::new(good)).is_some());
        for bad in [
            "",
            "name",
            "/etc/passwd",
            "../../0a/0b/0a0b0000-0000-0000-0000-000000000000",
            "../../0a/0b/0a0b0000-0000-0000-0000-000000000000/",
            "../../0a/0b/0a0b0000-0000-0000-0000-000000000000/a/b",
            "../../0a/0c/0a0b0000-0000-0000-0000-000000000000/name",
            "../../0a/0b/0a0b00000000000000000000000000000000/name",
            "../../é/0b/0a0b0000-0000-0000-0000-000000000000/name",
        ] {
            assert_eq!(parse_handle(Path::new(bad)), None, "{bad}");
        }
        assert!(parse_link(b"0a0b0000-0000-0000-0000-000000000000/name").is_some());
        for bad in
            ["", "0a0b0000-0000-0000-0000-000000000000", "0a0b0000-0000-0000-0000-000000000000/a/b"]
        {
            assert_eq!(parse_link(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_chain_that_never_ends_is_left() {
        let brick = Brick::new();
        brick.dir(gfid(1), gfid(2), b"a");
        brick.dir(gfid(2), gfid(1), b"b");
        let create = Record { at: link(gfid(1), b"f"), ..record(Fop::CREATE) };
        assert_eq!(text(brick.resolver().names(&create).path), format!("<gfid:{}>/f", gfid(1)));
    }

    #[test]
    fn a_file_has_a_path_for_each_of_its_links() {
        let brick = Brick::new();
        brick.dir(gfid(1), Gfid::ROOT, b"dir");
        let links = format!("{}/second\nnonsense\n{}/first", gfid(1), Gfid::ROOT);
        fs::write(brick.handle(gfid(3)), links).unwrap();
        // The attributes themselves are root's: tests/ has them in a real brick.
        let content = |handle: &Path| {
            let content = fs::read(handle).unwrap();
            content.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
        };
        let mut resolver = Resolver { links: content, ..brick.resolver() };
        let write = Record { gfid: Some(gfid(3)), ..record(Fop::WRITE) };
        let names = resolver.names(&write);
        assert_eq!(text(names.path), "/dir/second");
        assert_eq!(names.others, [b"/first".to_vec()]);
    }
}
