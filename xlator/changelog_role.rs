//! What `features/changelog` has beside the journal: the export, the event channel, and the snapshot barrier.
//!
//! It is there when the volfile says so (`persona.rs`), and off until the options switch it on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use gnotify_bindings::log::{self, Level};
use gnotify_bindings::{SharedXlator, this};
use gnotify_changelog::csnap::Csnap;
use gnotify_changelog::layout::Layout;
use gnotify_changelog::retention;
use gnotify_changelog::storage::Disk;
use gnotify_changelog::writer::{Since, make_dirs};
use gnotify_channel::{Event, JournalPath, Kind, Server};
use gnotify_journal::UnderWay;
use gnotify_record::{Fop, Record};

use crate::barrier::{Barrier, NotRaised};
use crate::brick_journal::BrickJournal;
use crate::export::{Beginning, End, Export, Settings};
use crate::options::Options;
use crate::stock_options::StockOptions;

/// How long switching the changelog off waits for the last records.
const LAST_RECORDS: Duration = Duration::from_secs(2);

/// The role of an instance.
#[derive(Debug)]
pub(crate) struct ChangelogRole {
    this: SharedXlator,
    /// The fops that change something and are on their way: a slice that is ended for a snapshot waits for them.
    pub(crate) under_way: UnderWay,
    pub(crate) barrier: Arc<Barrier>,
    /// Opened when it is first wanted, and open until fini: stock knows no way back either.
    channel: Arc<OnceLock<Server>>,
    export: Mutex<Option<Running>>,
    /// The brick's directory, once it is known.
    brick: OnceLock<PathBuf>,
}

#[derive(Debug)]
struct Running {
    export: Arc<Export>,
    journal: Arc<BrickJournal>,
    settings: Settings,
    barrier_timeout: Duration,
}

impl ChangelogRole {
    pub(crate) fn new(this: SharedXlator) -> ChangelogRole {
        ChangelogRole {
            this,
            under_way: UnderWay::new(),
            barrier: Arc::default(),
            channel: Arc::default(),
            export: Mutex::default(),
            brick: OnceLock::new(),
        }
    }

    /// The brick's directory, where it is known.
    pub(crate) fn brick(&self) -> Option<&Path> {
        self.brick.get().map(PathBuf::as_path)
    }

    /// Whether a consumer wants events of this kind.
    #[inline]
    pub(crate) fn wants(&self, kind: Kind) -> bool {
        self.channel.get().is_some_and(|channel| channel.wants(kind))
    }

    /// Tells consumers.
    pub(crate) fn announce(&self, event: Event) {
        if let Some(channel) = self.channel.get() {
            channel.send(event);
        }
    }

    /// What a state dump shows of the export and the channel; `None` while somebody changes them.
    pub(crate) fn dump(&self, mut write: impl FnMut(&str, &str)) {
        write("barrier", if self.barrier.is_up() { "up" } else { "down" });
        write("fops-held-back", &self.barrier.len().to_string());
        write("fops-under-way", &self.under_way.len().to_string());
        match self.export.try_lock() {
            Ok(running) => {
                for running in running.iter() {
                    write("export.directory", &running.settings.dir.display().to_string());
                    for (key, value) in running.export.status().shown() {
                        write(&format!("export.{key}"), &value.to_string());
                    }
                }
            }
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => {}
        }
        let consumers = self.channel.get().map(|channel| channel.status().consumers);
        for (at, consumer) in consumers.iter().flatten().enumerate() {
            let mut put = |key: &str, value: String| write(&format!("consumer.{at}.{key}"), &value);
            put("socket", consumer.socket.display().to_string());
            put("selection", consumer.selection.bits().to_string());
            put("queued-bytes", consumer.queued_bytes.to_string());
            put("sent-events", consumer.sent_events.to_string());
            put("dropped-events", consumer.dropped_events.to_string());
        }
    }

    /// Opens the event channel where the options ask for it. Whether it is open.
    pub(crate) fn open_channel(&self, stock: &StockOptions) -> bool {
        if self.channel.get().is_some() {
            return true;
        }
        if !stock.changelog && !stock.notification {
            return false;
        }
        let Some(brick) = self.know_brick(stock) else {
            self.say(Level::Error, "changelog: no event channel: set the option changelog-brick");
            return false;
        };
        let this = self.this;
        let settings = gnotify_channel::Settings {
            log: Arc::new(move |level, text| {
                let level = match level {
                    gnotify_channel::Level::Info => Level::Info,
                    gnotify_channel::Level::Warning => Level::Warning,
                    gnotify_channel::Level::Error => Level::Error,
                };
                say(this, level, &format!("changelog: {text}"));
            }),
            ..gnotify_channel::Settings::new(brick)
        };
        match Server::open(settings) {
            Ok(server) => {
                // Only `apply` sets it, and it holds the settings.
                let _ = self.channel.set(server);
                true
            }
            Err(error) => {
                self.say(Level::Error, &format!("changelog: no event channel: {error}"));
                false
            }
        }
    }

    /// Makes the directories that are there also while the changelog is off.
    pub(crate) fn make_dirs(&self, stock: &StockOptions) {
        let Some(brick) = self.know_brick(stock) else { return };
        let dir = stock.dir(&brick);
        if let Err(error) = make_dirs(&Disk, &Layout::new(&dir)) {
            self.say(Level::Warning, &format!("changelog: cannot make {}: {error}", dir.display()));
        }
    }

    fn know_brick(&self, stock: &StockOptions) -> Option<PathBuf> {
        let brick = stock.brick.clone().or_else(|| self.this.get().brick_directory())?;
        Some(self.brick.get_or_init(|| brick).clone())
    }

    /// Whether the export runs.
    pub(crate) fn exports(&self) -> bool {
        self.lock().is_some()
    }

    /// Starts the export, or changes its settings. `from` is where in the journal it begins if no slice says another
    /// place.
    pub(crate) fn export(
        &self,
        options: &Options,
        stock: &StockOptions,
        journal: &Arc<BrickJournal>,
        journal_dir: PathBuf,
        since: Since,
        from: (u64, u64),
    ) {
        let Some(brick) = self.know_brick(stock) else { return };
        let (bytes, age) = options.export_retention;
        let settings = Settings {
            dir: stock.dir(&brick),
            encoding: stock.encoding,
            scope: options.records,
            rollover: stock.rollover,
            retention: retention::Limits { bytes, age: age.map(|age| age.as_secs()) },
        };
        let barrier_timeout = stock.barrier_timeout;
        let mut running = self.lock();
        if let Some(running) = &mut *running {
            running.export.set(settings.clone());
            (running.settings, running.barrier_timeout) = (settings, barrier_timeout);
            return;
        }
        let (channel, this) = (Arc::clone(&self.channel), self.this);
        let beginning = Beginning {
            instance: this,
            brick,
            journal_dir,
            journal: Arc::clone(journal),
            since,
            unsure: false,
            from,
            finished: Arc::new(move |slice| {
                use std::os::unix::ffi::OsStrExt;
                let path = JournalPath::new(slice.as_os_str().as_bytes());
                if let (Some(channel), Ok(path)) = (channel.get(), path) {
                    channel.send(Event::Journal { path });
                }
            }),
            log: Arc::new(move |level, text| say(this, level, text)),
        };
        match journal.begin_export(|| Export::start(beginning, settings.clone())) {
            Ok(export) => {
                let journal = Arc::clone(journal);
                *running = Some(Running { export, journal, settings, barrier_timeout });
            }
            Err(error) => {
                let text = format!("changelog: nothing is exported: no thread: {error}");
                self.say(Level::Critical, &text);
            }
        }
    }

    /// The changelog was switched off: the last records are exported, and the last slice is finished.
    pub(crate) fn switch_off(&self) {
        let Some(Running { export, journal, .. }) = self.lock().take() else { return };
        self.barrier.lift();
        // Where they cannot be carried now, the next index begins behind them.
        let _ = journal.flush(Instant::now() + LAST_RECORDS);
        journal.end_export(&export, End::Last);
    }

    /// Ends all of it. The next start goes on.
    pub(crate) fn close(&self) {
        self.barrier.close();
        if let Some(Running { export, journal, .. }) = self.lock().take() {
            journal.end_export(&export, End::Pause);
        }
        if let Some(channel) = self.channel.get() {
            channel.close();
        }
    }

    /// Puts the snapshot barrier up and finishes a slice, or lifts it. What went wrong is logged. False: the snapshot
    /// must not be taken.
    pub(crate) fn set_barrier(&self, up: bool) -> bool {
        let done = if up { self.raise() } else { self.lower() };
        match &done {
            Ok(()) if up => self.say(Level::Info, "Enabled changelog barrier"),
            Ok(()) => self.say(Level::Info, "Disabled changelog barrier"),
            Err(why) => self.say(Level::Error, &format!("changelog barrier: {why}")),
        }
        done.is_ok()
    }

    fn raise(&self) -> Result<(), String> {
        let (export, settings, timeout) = {
            let running = self.lock();
            // Nothing is recorded, so there is nothing to finish.
            let Some(running) = &*running else { return Ok(()) };
            (Arc::clone(&running.export), running.settings.clone(), running.barrier_timeout)
        };
        let layout = Layout::new(&settings.dir);
        let csnap = || Csnap::create(Disk, &layout, settings.encoding);
        let this = self.this;
        let expired = move |held: usize| {
            let text = format!(
                "changelog barrier: lifted by itself, because it was up for {timeout:?} \
                 (changelog-barrier-timeout); {held} fops go on"
            );
            say(this, Level::Error, &text);
        };
        self.barrier.raise(csnap, timeout, expired).map_err(|why| match why {
            NotRaised::Already => "it is up already".to_owned(),
            NotRaised::File(error) => format!("cannot write {}: {error}", layout.csnap().display()),
            NotRaised::Timer(error) => format!("no thread for its timer: {error}"),
        })?;
        let deadline = Instant::now() + timeout;
        if !self.under_way.drain(deadline) {
            let count = self.under_way.len();
            return Err(format!("{count} fops that began before it are not answered by the disk"));
        }
        if !export.finish_slice(deadline) {
            return Err("the slice before it could not be finished in time".to_owned());
        }
        Ok(())
    }

    fn lower(&self) -> Result<(), String> {
        if self.barrier.lift() || !self.exports() {
            Ok(())
        } else {
            Err("it is not up: it may have been lifted by itself".to_owned())
        }
    }

    /// Notes a fop on a file's content that goes on while the barrier is up, as stock does.
    #[cold]
    pub(crate) fn note_under_barrier(&self, record: &Record<'_>) {
        let content = matches!(record.fop, Fop::WRITE | Fop::TRUNCATE | Fop::FTRUNCATE);
        let Some(gfid) = record.gfid.filter(|_| content) else { return };
        if let Err(error) = self.barrier.note_data(gfid) {
            let text = format!("changelog barrier: a write cannot be noted: {error}");
            self.say(Level::Error, &text);
        }
    }

    fn say(&self, level: Level, text: &str) {
        say(self.this, level, text);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.export.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line in the host's log, from any thread.
fn say(instance: SharedXlator, level: Level, text: &str) {
    let before = this::within(instance.get());
    log::log(instance.get(), level, 0, format_args!("{text}"));
    before.put_back();
}
