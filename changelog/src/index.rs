//! An index that is being written: an append is there whole or not at all, and the count is exact.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::htime::{self, CURRENT, Item, MARK, Mark};
use crate::layout::{self, Layout};
use crate::storage::{FileReader, Open, Storage, write_all};

/// The open index.
#[derive(Debug)]
pub(crate) struct Index<S: Storage> {
    file: S::File,
    path: PathBuf,
    /// When it was begun: its name.
    pub(crate) begun: u64,
    /// Bytes of whole records.
    len: u64,
    pub(crate) mark: Mark,
}

/// What is in an index, and how it should be.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) mark: Mark,
    /// Bytes up to the end of the last record.
    len: u64,
    /// All records as they should be, where one before the last is not.
    rewritten: Option<Vec<u8>>,
    /// What is wrong, a sentence each.
    pub(crate) findings: Vec<String>,
    /// The first record, and the last one of a slice that was not empty, as they should be.
    pub(crate) first_ts: Option<u64>,
    pub(crate) last_slice: Option<u64>,
}

impl Survey {
    /// Reads the index in `file`.
    pub(crate) fn of<S: Storage>(
        storage: &S,
        file: &S::File,
        layout: &Layout,
    ) -> io::Result<Survey> {
        let mut survey = Survey::default();
        let mut records = Vec::new();
        let (mut torn, mut elsewhere) = (0, 0);
        let mut reader = htime::Reader::new(FileReader::new(storage, file));
        while let Some((offset, item)) = reader.next()? {
            let slice = match item {
                Item::Torn(_) => {
                    torn += 1;
                    continue;
                }
                Item::Slice(slice) => slice,
            };
            let path = in_its_place(layout, &slice);
            elsewhere += u64::from(path.as_path() != slice.path);
            survey.len = offset + slice.path.as_os_str().len() as u64 + 1;
            survey.mark = Mark { last: slice.ts, count: survey.mark.count + 1 };
            survey.first_ts = survey.first_ts.or(Some(slice.ts));
            let is_empty = layout::slice_ts(path.file_name().unwrap_or_default());
            if is_empty.is_some_and(|(_, empty)| !empty) {
                survey.last_slice = Some(slice.ts);
            }
            records.extend_from_slice(path.as_os_str().as_bytes());
            records.push(0);
        }
        if torn > 0 {
            survey.findings.push(format!("{torn} pieces that are no record were taken out"));
        }
        if elsewhere > 0 {
            survey.findings.push(format!(
                "{elsewhere} records of {} named slices in another directory and name them here now",
                survey.mark.count
            ));
        }
        if elsewhere > 0 || records.len() as u64 != survey.len {
            survey.rewritten = Some(records);
        }
        Ok(survey)
    }
}

/// Where a slice of the index lies: in this directory, also if the brick was moved or restored elsewhere since. Stock
/// puts the first CHANGELOG of a path in lower case for an empty slice, even if it is a directory's.
fn in_its_place(layout: &Layout, slice: &htime::Indexed<'_>) -> PathBuf {
    let Some(dir) = layout::dir_of(slice.path) else { return slice.path.to_owned() };
    if dir == layout.dir() {
        return slice.path.to_owned();
    }
    let here = layout.dir().as_os_str().as_bytes();
    let mut lowered = here.to_vec();
    if let Some(at) = here.windows(9).position(|word| word == layout::LIVE.as_bytes()) {
        lowered[at..at + 9].copy_from_slice(layout::EMPTY.as_bytes());
    }
    let empty = slice.empty || dir.as_os_str().as_bytes() == lowered;
    let rest = slice.path.parent().and_then(|parent| parent.strip_prefix(dir).ok());
    let stem = if empty { layout::EMPTY } else { layout::LIVE };
    let name = format!("{stem}.{}", slice.ts);
    layout.dir().join(rest.unwrap_or(Path::new(""))).join(name)
}

impl<S: Storage> Index<S> {
    /// Opens the index that was begun at `begun`, and repairs it where that is needed. What was wrong is told.
    pub(crate) fn open(storage: &S, layout: &Layout, begun: u64) -> io::Result<(Index<S>, Survey)> {
        let path = layout.htime(begun);
        let mut file = storage.open(&path, Open::Existing, false)?;
        let mut survey = Survey::of(storage, &file, layout)?;
        let mark = survey.mark;
        if let Some(records) = survey.rewritten.take() {
            file = make(storage, layout, begun, &records, mark)?;
            survey.len = records.len() as u64;
        } else if storage.len(&file)? != survey.len {
            storage.cut(&file, survey.len)?;
            storage.sync(&file)?;
        }
        let found = storage.xattr(&path, MARK)?;
        if found.as_deref() != Some(mark.to_string().as_bytes()) {
            if let Some(found) = found {
                let found = String::from_utf8_lossy(&found).into_owned();
                survey.findings.push(format!("it was marked {found} and is {mark}"));
            }
            storage.set_xattr(&path, MARK, mark.to_string().as_bytes())?;
            storage.sync(&file)?;
        }
        Ok((Index { file, path, begun, len: survey.len, mark }, survey))
    }

    /// Makes an index of whole `records` and has it written from now on.
    pub(crate) fn create(
        storage: &S,
        layout: &Layout,
        begun: u64,
        records: &[u8],
        mark: Mark,
    ) -> io::Result<Index<S>> {
        let file = make(storage, layout, begun, records, mark)?;
        make_current(storage, layout, begun)?;
        Ok(Index { file, path: layout.htime(begun), begun, len: records.len() as u64, mark })
    }

    /// Appends the record of a slice. After an error nothing of it counts, and it can be repeated.
    pub(crate) fn append(&mut self, storage: &S, path: &Path, ts: u64) -> io::Result<()> {
        let mut record = path.as_os_str().as_bytes().to_vec();
        record.push(0);
        if let Err(error) = write_all(storage, &self.file, &record, self.len) {
            // If that fails too, the repetition writes to the same place, as a start does.
            let _ = storage.cut(&self.file, self.len);
            return Err(error);
        }
        storage.sync(&self.file)?;
        let mark = Mark { last: ts, count: self.mark.count + 1 };
        storage.set_xattr(&self.path, MARK, mark.to_string().as_bytes())?;
        storage.sync(&self.file)?;
        self.len += record.len() as u64;
        self.mark = mark;
        Ok(())
    }
}

/// Makes an index beside the others, whole and durable, and only then puts it among them: stock's history call gives up
/// where it meets one without its mark.
pub(crate) fn make<S: Storage>(
    storage: &S,
    layout: &Layout,
    begun: u64,
    records: &[u8],
    mark: Mark,
) -> io::Result<S::File> {
    let new = layout.htime_unfinished();
    let file = storage.open(&new, Open::Empty, false)?;
    write_all(storage, &file, records, 0)?;
    storage.set_xattr(&new, MARK, mark.to_string().as_bytes())?;
    storage.sync(&file)?;
    storage.rename(&new, &layout.htime(begun))?;
    storage.sync_dir(&layout.htime_dir())?;
    storage.sync_dir(layout.dir())?;
    Ok(file)
}

/// Notes which index is written.
pub(crate) fn make_current<S: Storage>(storage: &S, layout: &Layout, begun: u64) -> io::Result<()> {
    let name = layout::htime_name(begun);
    storage.set_xattr(&layout.htime_dir(), CURRENT, name.as_bytes())?;
    storage.sync_dir(&layout.htime_dir())
}
