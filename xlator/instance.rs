//! An instance of the translator: one brick's state, and the switches that every fop asks.
//!
//! It hangs on the host's `this->private` from init to fini. Nothing of it is a Rust static, because one
//! process carries many bricks.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use gnotify_bindings::guard::guard;
use gnotify_bindings::log::{self, Level};
use gnotify_bindings::option::option;
use gnotify_bindings::{SharedXlator, Xlator};
use gnotify_changelog::writer::Since;
use gnotify_channel::Kind;
use gnotify_journal::{self as journal, Config, Door, OpenError, Reserve};
use gnotify_record::effect::{Detail, Policy};
use gnotify_record::{Class, Fop, Gfid};

use crate::brick_journal::{BrickJournal, HostLog};
use crate::changelog_role::ChangelogRole;
use crate::clients::Clients;
use crate::counters::Counters;
use crate::fops;
use crate::names::{Call, Names, Order, Waiter};
use crate::observe::Pending;
use crate::options::{Options, Order as OrderOption};
use crate::pendings::{OnFrame, Pendings};
use crate::persona::Persona;
use crate::resume::resume;
use crate::retry::Retry;
use crate::unlinks::Unlinks;

/// Where a brick's journal is, below the brick's directory.
const JOURNAL_DIR: &str = ".glusterfs/gnotify";

/// How long a starting brick waits for the journal that its former process has.
const FORMER_PROCESS_PATIENCE: Duration = Duration::from_secs(10);

/// How long a reconfigure waits for room in the ring.
const STATEMENT_PATIENCE: Duration = Duration::from_millis(200);

/// What the fop path must know of the options, in one word: it is read once a visit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switches(u32);

impl Switches {
    const JOURNAL: u32 = 1;
    const DETAIL_ALL: u32 = 1 << 1;
    const OPENS: u32 = 1 << 2;
    const XATTR_VALUES: u32 = 1 << 3;
    const ORDER: u32 = 1 << 4;
    const DURABLE_REPLIES: u32 = 1 << 5;
    const EVENTS: u32 = 1 << 6;
    const REMOVED_PATHS: u32 = 1 << 7;

    const OFF: Switches = Switches(0);

    fn of(options: &Options) -> Switches {
        let bit = |on: bool, bit: u32| if on { bit } else { 0 };
        Switches(
            bit(options.journal, Self::JOURNAL)
                | bit(options.policy.detail == Detail::All, Self::DETAIL_ALL)
                | bit(options.policy.journal_opens, Self::OPENS)
                | bit(options.xattr_values, Self::XATTR_VALUES)
                | bit(options.durable_replies, Self::DURABLE_REPLIES)
                | bit(
                    options.stock.as_ref().is_some_and(|stock| stock.capture_del_path),
                    Self::REMOVED_PATHS,
                )
                | bit(options.journal && options.order == OrderOption::Strict, Self::ORDER),
        )
    }

    fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    /// Whether there is a journal to write to.
    pub(crate) fn journal(self) -> bool {
        self.has(Self::JOURNAL)
    }

    /// Whether a fop of this class may become a record.
    pub(crate) fn watch(self, class: Option<Class>) -> bool {
        self.has(Self::JOURNAL) && (class != Some(Class::OpenClose) || self.has(Self::OPENS))
    }

    pub(crate) fn policy(self) -> Policy {
        let detail = if self.has(Self::DETAIL_ALL) { Detail::All } else { Detail::Slice };
        Policy { detail, journal_opens: self.has(Self::OPENS) }
    }

    /// Whether the paths of removed names are recorded.
    pub(crate) fn removed_paths(self) -> bool {
        self.has(Self::REMOVED_PATHS)
    }

    /// Without a journal, but with what else there is.
    fn without_journal(self) -> Switches {
        Switches(self.0 & Self::EVENTS)
    }

    /// With the event channel, if it is `open`.
    fn with_events(self, open: bool) -> Switches {
        if open { Switches(self.0 | Self::EVENTS) } else { self }
    }

    pub(crate) fn xattr_values(self) -> bool {
        self.has(Self::XATTR_VALUES)
    }
}

#[derive(Debug)]
pub(crate) struct Instance {
    this: SharedXlator,
    /// What the stock translator has whose place this one takes.
    role: Option<Box<ChangelogRole>>,
    switches: AtomicU32,
    /// Opened when the journal is first switched on, and kept until fini: switching it off pauses it, so
    /// that a fop in flight never finds it gone.
    journal: OnceLock<Arc<BrickJournal>>,
    /// Where replies wait for their records to be durable, once that has been asked for.
    door: OnceLock<Door>,
    pub(crate) clients: Clients,
    retry: Retry,
    pub(crate) order: Order,
    pub(crate) unlinks: Unlinks,
    pub(crate) pendings: Pendings,
    pub(crate) counters: Counters,
    settings: Mutex<Settings>,
}

/// What only init, reconfigure and the statedump look at.
#[derive(Debug)]
pub(crate) struct Settings {
    /// None until they were applied once.
    pub(crate) options: Option<Options>,
    /// Why there is no journal although there should be one.
    pub(crate) refused: Option<String>,
}

impl Instance {
    /// An instance for `this`, switched off until [`Instance::apply`].
    pub(crate) fn new(this: SharedXlator) -> Instance {
        let role = match Persona::of(this.get().kind()) {
            Persona::Gnotify => None,
            Persona::Changelog => Some(Box::new(ChangelogRole::new(this))),
        };
        Instance {
            this,
            role,
            switches: AtomicU32::new(Switches::OFF.0),
            journal: OnceLock::new(),
            door: OnceLock::new(),
            clients: Clients::new(),
            retry: Retry::default(),
            order: Order::new(),
            unlinks: Unlinks::new(),
            pendings: Pendings::new(),
            counters: Counters::new(),
            settings: Mutex::new(Settings { options: None, refused: None }),
        }
    }

    /// The instance of `this`; none before init and after fini.
    #[inline]
    pub(crate) fn of<'a>(this: Xlator<'a>) -> Option<&'a Instance> {
        // SAFETY: [instance] private is null or what init stored, which is not freed while a call that may have
        // read it is under way.
        unsafe { this.private().cast::<Instance>().as_ref() }
    }

    /// The switches, read once a visit so that one fop sees one state of them.
    #[inline]
    pub(crate) fn switches(&self) -> Switches {
        Switches(self.switches.load(Ordering::Acquire))
    }

    /// What it has as `features/changelog`.
    #[inline]
    pub(crate) fn role(&self) -> Option<&ChangelogRole> {
        self.role.as_deref()
    }

    /// Whether a consumer wants to hear of fops of this number as they happen.
    #[inline]
    pub(crate) fn announces(&self, fop: Fop) -> bool {
        let kind = match fop {
            Fop::OPEN => Kind::Open,
            Fop::CREATE => Kind::Create,
            _ => return false,
        };
        self.switches().has(Switches::EVENTS)
            && self.role().is_some_and(|role| role.wants(kind) || role.wants(Kind::Release))
    }

    #[inline]
    pub(crate) fn watches(&self, fop: Fop) -> bool {
        self.switches().watch(fop.class())
    }

    #[inline]
    pub(crate) fn journal(&self) -> Option<&BrickJournal> {
        self.journal.get().map(|journal| &**journal)
    }

    /// Takes the names of an entry fop, so that no other fop on them comes between it and its record, and notes what
    /// it is about to change. Some: the names are not free, and the fop is to be parked.
    // A row of the fop table calls it once: without this each call saves and restores all registers.
    #[inline(always)]
    pub(crate) fn enter(&self, pending: &mut Pending) -> Option<Arc<Waiter>> {
        if !pending.recorded {
            return None;
        }
        if self.switches().has(Switches::ORDER)
            && let Some(names) = Names::of(pending.record.at.as_ref(), pending.record.to.as_ref())
        {
            // First, so that they are given back whatever happens.
            pending.names = Some(names);
            let waiter = self.order.enter(names, &mut pending.record);
            if waiter.is_some() {
                return waiter;
            }
        }
        self.note(pending);
        None
    }

    /// The turn of a fop that was parked has come.
    pub(crate) fn resume(&self, pending: &mut Pending) {
        self.guarded(|| {
            if let Some(names) = pending.names {
                self.order.correct(names, &mut pending.record);
            }
            self.note(pending);
        });
    }

    /// Counts a fop as under way: it is wound next. True: a barrier holds it back, and it is not; then see
    /// [`Instance::hold`].
    #[inline]
    pub(crate) fn hold_back(&self, pending: &mut Pending) -> bool {
        let Some(role) = self.role().filter(|_| pending.recorded) else { return false };
        let turn = role.under_way.enter();
        if role.barrier.is_up() {
            if pending.record.fop.class() == Some(Class::Entry) {
                role.under_way.leave(turn);
                return true;
            }
            self.guarded(|| role.note_under_barrier(&pending.record));
        }
        pending.turn = Some(turn);
        false
    }

    /// Parks the rest of a fop that the barrier holds back. Gives it back if that was lifted meanwhile.
    #[cold]
    pub(crate) fn hold(&self, call: Call) -> Option<Call> {
        match self.role() {
            Some(role) => role.barrier.hold(call),
            None => Some(call),
        }
    }

    /// A fop that cannot be parked goes on, whatever it is to wait for.
    #[cold]
    pub(crate) fn go_ahead(&self, pending: &mut Pending, ahead_of_turn: bool) {
        if ahead_of_turn {
            self.resume(pending);
        }
        if let Some(role) = self.role() {
            pending.turn = Some(role.under_way.enter());
        }
    }

    /// Notes what a fop is about to change: it is wound next.
    #[inline]
    fn note(&self, pending: &mut Pending) {
        if let Some(journal) = self.journal() {
            pending.in_flight = Some(journal.begin(&pending.record));
        }
    }

    /// The fop has ended, and has its record if it changed something: takes its note back, and gives its names back.
    /// Returns what can go on now.
    // A row of the fop table calls it once: without this each call saves and restores all registers.
    #[inline(always)]
    pub(crate) fn leave(&self, pending: &mut Pending, succeeded: bool) -> [Option<Call>; 2] {
        self.guarded(|| {
            if let (Some(journal), Some(in_flight)) = (self.journal(), pending.in_flight.take()) {
                journal.end(in_flight);
            }
            if let (Some(role), Some(turn)) = (self.role(), pending.turn.take()) {
                role.under_way.leave(turn);
            }
            match pending.names {
                Some(names) => self.order.leave(names, succeeded.then_some(&pending.record)),
                None => [None, None],
            }
        })
        .unwrap_or_else(|| [None, None])
    }

    /// What a fop that went ahead of its turn does when that comes.
    pub(crate) fn give_up_turn(&self, names: Option<Names>) -> Call {
        let this = self.this;
        Box::new(move || {
            if let (Some(instance), Some(names)) = (Instance::of(this.get()), names) {
                // What the fop did to the names is not known here.
                instance.order.forget();
                resume(instance.order.leave(names, None));
            }
        })
    }

    /// Where a reply is to wait for its record, if it is.
    #[inline]
    pub(crate) fn door(&self) -> Option<&Door> {
        self.door.get().filter(|_| self.switches().has(Switches::DURABLE_REPLIES))
    }

    /// Ends the instance's work. What the host still calls finds nothing to do.
    pub(crate) fn close(&self) {
        self.retry.stop();
        if let Some(role) = &self.role {
            role.close();
        }
        self.switches.store(Switches::OFF.0, Ordering::Release);
        if let Some(journal) = self.journal.get() {
            journal.close(self.this);
        }
    }

    pub(crate) fn this(&self) -> Xlator<'_> {
        self.this.get()
    }

    /// The settings, unless a reconfigure holds them: a statedump must not wait.
    pub(crate) fn try_settings(&self) -> Option<MutexGuard<'_, Settings>> {
        match self.settings.try_lock() {
            Ok(settings) => Some(settings),
            Err(TryLockError::Poisoned(settings)) => Some(settings.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Runs `body`; a panic in it is counted (the hook has logged it) and gives none.
    #[inline]
    pub(crate) fn guarded<T>(&self, body: impl FnOnce() -> T) -> Option<T> {
        match guard(body) {
            Ok(value) => Some(value),
            Err(_) => {
                self.counters.panics.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Runs `body`, which sees to the record of a fop; a panic in it costs the record, which the journal then
    /// tells as a gap.
    #[inline]
    pub(crate) fn recording<T>(&self, body: impl FnOnce() -> T) -> Option<T> {
        let done = self.guarded(body);
        if let (None, Some(journal)) = (&done, self.journal()) {
            self.guarded(|| journal.lost());
        }
        done
    }

    /// Makes `options` true: opens, pauses or resumes the journal. What cannot be is logged, and the fops
    /// go on without a record.
    pub(crate) fn apply(&self, mut options: Options) {
        let reserve = self.this().storage().and_then(|storage| option(storage, c"reserve"));
        if let Some(reserve) = reserve.and_then(|text| Reserve::parse(&text)) {
            options.limits.reserve = reserve;
        }
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        self.apply_to(&mut settings, options);
    }

    /// Tries once more to open the journal that was refused. Whether it is to be tried again.
    pub(crate) fn try_again(&self) -> bool {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = settings.options.clone().filter(|options| options.journal);
        if let (None, Some(options)) = (self.journal.get(), wanted) {
            self.apply_to(&mut settings, options);
            return settings.refused.is_some();
        }
        false
    }

    fn apply_to(&self, settings: &mut Settings, options: Options) {
        let this = self.this();
        let refused = settings.refused.take();
        let starting = settings.options.is_none();
        // Said when the fops are recorded again, and not ahead of it: a change between the two would be missed.
        let mut say_on = false;
        let mut switches = Switches::of(&options);
        if let (Some(role), Some(stock)) = (&self.role, &options.stock) {
            switches = switches.with_events(role.open_channel(stock));
            if !options.journal {
                role.make_dirs(stock);
            }
        }
        // Where slices that are there do not go on, because fops went by.
        let mut since = Since::Continued;
        match (self.journal.get(), options.journal) {
            (None, true) => {
                if let Err((mut why, temporary)) = self.open_journal(&options, starting) {
                    if temporary && self.retry.start(self.this) {
                        why.push_str("; it is tried again until it opens");
                    }
                    // Once, and not with every try.
                    if refused.as_ref() != Some(&why) {
                        log::log(this, Level::Critical, 0, format_args!("no journal: {why}"));
                    }
                    settings.refused = Some(why);
                    switches = switches.without_journal();
                } else if let (Some(journal), true) = (self.journal(), refused.is_some()) {
                    // Fops went by since the brick was started.
                    self.say("OFF", || journal.pause());
                    say_on = true;
                }
            }
            (Some(journal), true) => {
                journal.set_limits(options.limits);
                say_on = settings.options.as_ref().is_some_and(|was| !was.journal);
            }
            (Some(journal), false) => {
                self.switches.store(switches.without_journal().0, Ordering::Release);
                if settings.options.as_ref().is_some_and(|was| was.journal) {
                    self.say("OFF", || journal.pause());
                    if let Some(role) = &self.role {
                        role.switch_off();
                    }
                }
            }
            (None, false) => self.pass_over(&options),
        }
        if !starting && (say_on || settings.options.as_ref().is_some_and(|was| !was.journal)) {
            since = Since::Broken;
        }
        if let (Some(journal), Some(role), Some(stock), true, Some(brick)) = (
            self.journal.get(),
            &self.role,
            &options.stock,
            options.journal,
            self.brick_dir(&options),
        ) {
            let dir = brick.join(JOURNAL_DIR);
            role.export(&options, stock, journal, dir, since, journal.here());
        }
        if options.durable_replies && self.door.get().is_none() {
            match self.journal().map(|journal| journal.door()) {
                Some(Ok(door)) => drop(self.door.set(door)),
                Some(Err(why)) => log::log(
                    self.this(),
                    Level::Error,
                    0,
                    format_args!("durability=sync is not to be had, replies do not wait: {why}"),
                ),
                None => {}
            }
        }
        if !self.switches().has(Switches::ORDER) {
            // What went by meanwhile was not seen.
            self.order.forget();
        }
        self.switches.store(switches.0, Ordering::Release);
        if let (Some(journal), true) = (self.journal(), say_on) {
            self.say("ON", || journal.resume());
        }
        settings.options = Some(options);
    }

    /// Has a statement written; where the ring is full, waits a moment for room. This is one of the host's event
    /// threads: it must not wait long.
    fn say(&self, statement: &str, offer: impl Fn() -> bool) {
        let end = Instant::now() + STATEMENT_PATIENCE;
        while !offer() {
            if Instant::now() > end {
                log::log(
                    self.this(),
                    Level::Error,
                    0,
                    format_args!("the journal's ring is full: {statement} is not on record"),
                );
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The brick's directory.
    fn brick_dir(&self, options: &Options) -> Option<PathBuf> {
        options.brick_path.clone().or_else(|| self.this().brick_directory())
    }

    /// Where a brick's ring is.
    fn ring(options: &Options, brick: &Path) -> PathBuf {
        let ring = journal::ring_path(brick);
        options.ring_dir.join(ring.file_name().unwrap_or_default())
    }

    /// Fops go by unrecorded: where the brick has a journal, its readers will have to be told.
    fn pass_over(&self, options: &Options) {
        let Some(brick) = self.brick_dir(options) else { return };
        let dir = brick.join(JOURNAL_DIR);
        if dir.is_dir() {
            let ring = Instance::ring(options, &brick);
            journal::mark_unrecorded(&dir, &ring, &HostLog::of(self.this));
        }
    }

    /// Whether another instance stands above or below in the same graph.
    fn is_beside_another(&self) -> bool {
        let this = self.this();
        let above = std::iter::successors(this.first_parent(), |xlator| xlator.first_parent());
        let below = std::iter::successors(this.first_child(), |xlator| xlator.first_child());
        above.chain(below).any(|xlator| xlator.has_fops(fops::TABLE.as_ptr()))
    }

    /// Opens the journal. What is said where it cannot be, and whether it may be another time.
    fn open_journal(&self, options: &Options, starting: bool) -> Result<(), (String, bool)> {
        let this = self.this();
        let brick = self.brick_dir(options).ok_or_else(|| {
            let why = "there is no storage translator below that names the brick's directory; \
                       set the option brick-path";
            (why.to_owned(), false)
        })?;
        let ring = Instance::ring(options, &brick);
        // Another one in this very graph will stay, and writes the journal if it was the first.
        let predecessor = !self.is_beside_another();
        let dir = brick.join(JOURNAL_DIR);
        let open = || {
            BrickJournal::open(dir.clone(), self.this, predecessor, |dir, host| Config {
                dir,
                ring: ring.clone(),
                ring_size: options.ring_size,
                limits: options.limits,
                host,
            })
        };
        let end = Instant::now() + FORMER_PROCESS_PATIENCE;
        let mut opened = open();
        // The brick's former process may still be on its way out. No fop has come yet that would be missed.
        while starting
            && predecessor
            && matches!(opened, Err(OpenError::InUse { .. }))
            && Instant::now() < end
        {
            std::thread::sleep(Duration::from_millis(10));
            opened = open();
        }
        let journal =
            opened.map_err(|error| (error.to_string(), predecessor && error.is_temporary()))?;
        let stats = journal.stats();
        log::log(
            this,
            Level::Info,
            0,
            format_args!(
                "journal of {} open: epoch {}, start {}, next sequence number {}",
                brick.display(),
                Gfid(stats.epoch),
                stats.start_id,
                stats.next_seq
            ),
        );
        // Only `apply` sets it, and it holds the settings.
        let _ = self.journal.set(journal);
        Ok(())
    }
}

/// Goes on with a fop that was parked, by `wind`, unless the barrier holds it back.
pub(crate) fn go_on(
    here: SharedXlator,
    mut pending: OnFrame,
    wind: impl FnOnce(OnFrame) + Send + 'static,
) {
    if let Some(instance) = Instance::of(here.get())
        && instance.hold_back(&mut pending)
    {
        let call = Box::new(move || go_on(here, pending, wind));
        resume([instance.hold(call), None]);
        return;
    }
    wind(pending);
}
