//! What gnotify recorded, reduced by the rules of stock, and where that differs from what stock recorded: but for stock's
//! known defects, which the test that uses this lists.

mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};

use gnotify_changelog::export::{self, Class, Exporter};
use gnotify_changelog::rules::{self, Scope};
use gnotify_changelog::{Change, Entry};
use gnotify_record::{Fop, Gfid, Link, Record};

/// A record of stock's, or what gnotify's exporter makes of a record of the journal.
pub(crate) type Told = Change<'static>;

/// What this is the first of, if stock leaves out its repetitions.
pub(crate) fn once(told: &Told) -> Option<(Gfid, Class)> {
    export::class(told, Scope::Stock).map(|class| (told.gfid(), class))
}

/// The names in an entry, the older one first.
fn links(told: &Told) -> Vec<&Link<'static>> {
    let Change::Entry { entry, .. } = told else { return Vec::new() };
    match entry {
        Entry::Create(birth) | Entry::Mkdir(birth) | Entry::Mknod(birth) => vec![&birth.at],
        Entry::Symlink(at) | Entry::Link(at) => vec![at],
        Entry::Rename { old, new } => vec![old, new],
        Entry::Unlink(removal) | Entry::Rmdir(removal) => vec![&removal.at],
    }
}

/// What `link` stands for after this, if this says so.
fn binds(told: &Told, link: &Link<'_>) -> Option<Option<Gfid>> {
    let names = links(told);
    match told.fop()? {
        Fop::RENAME if names[1] == link => Some(Some(told.gfid())),
        Fop::RENAME | Fop::UNLINK | Fop::RMDIR => (names[0] == link).then_some(None),
        _ => (*names.first()? == link).then_some(Some(told.gfid())),
    }
}

/// S3: without what stock has from the request and gnotify from the reply.
fn without_asked_mode(mut told: Told) -> Told {
    match &mut told {
        Change::Entry { entry: Entry::Create(birth), .. } => birth.mode &= 0o7777,
        Change::Entry { entry: Entry::Mkdir(birth), .. } => birth.mode &= !0o2000,
        _ => {}
    }
    told
}

/// What the exporter makes of the records in `journal`, before it leaves out repetitions.
pub(crate) fn reduce(journal: &[Record<'static>]) -> Vec<Told> {
    let changes = journal.iter().flat_map(|record| rules::changes(record, Scope::Stock));
    changes.map(Change::into_owned).collect()
}

/// S5: of each inode, the first change of each kind.
pub(crate) fn firsts(told: &[Told]) -> Vec<Told> {
    let mut exporter = Exporter::new(Scope::Stock);
    told.iter().filter(|change| exporter.is_new(change)).cloned().collect()
}

/// S6: what stock wrote, without renames of a name onto itself.
pub(crate) fn effective(mut stock: Vec<Told>) -> Vec<Told> {
    let moves = |told: &Told| match links(told)[..] {
        [old, new] => old != new,
        _ => true,
    };
    stock.retain(moves);
    stock
}

/// The first place where the two differ, of a workload that did one thing after the other.
pub(crate) fn differ_in_order(ours: &[Told], stock: &[Told]) -> Option<String> {
    let comparable = |told: &[Told]| {
        firsts(told).into_iter().map(without_asked_mode).map(Some).collect::<Vec<_>>()
    };
    let (mut ours, mut stock) = (comparable(ours), comparable(stock));
    let length = ours.len().max(stock.len());
    ours.resize(length, None);
    stock.resize(length, None);
    let at = ours.iter().zip(&stock).position(|(ours, stock)| ours != stock)?;
    Some(format!("record {at}: gnotify {:?}, stock {:?}", ours[at], stock[at]))
}

/// What a comparison found.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// What only one of the two has.
    pub(crate) differences: Vec<String>,
    /// Differences that come from S2.
    pub(crate) asked_gfid: usize,
    /// Differences that come from S7.
    pub(crate) remembered_gfid: usize,
    /// Records of stock's that come from the second half of S5.
    pub(crate) repeated: usize,
}

/// Compares without regard to order, for threads that race. `known` tells of a gfid whether an inode has or
/// had it, by other witnesses than the two lists.
pub(crate) fn compare(ours: &[Told], stock: &[Told], known: impl Fn(Gfid) -> bool) -> Comparison {
    let mut found = Comparison::default();
    // Entries: as often in the one as in the other.
    let mut balance: HashMap<Told, i64> = HashMap::new();
    for (told, one) in ours.iter().map(|told| (told, 1)).chain(stock.iter().map(|told| (told, -1)))
    {
        if once(told).is_none() {
            *balance.entry(without_asked_mode(told.clone())).or_default() += one;
        }
    }
    let only = |sign: i64| -> Vec<Told> {
        let too_many = |(told, count): (&Told, &i64)| {
            let times = usize::try_from(count * sign).unwrap_or(0);
            std::iter::repeat_n(told.clone(), times)
        };
        balance.iter().flat_map(too_many).collect()
    };
    let (only_ours, mut only_stock) = (only(1), only(-1));
    let known = |gfid: Gfid| known(gfid) || stock.iter().any(|told| told.gfid() == gfid);
    for told in only_ours {
        let asked = |stock: &Told| is_of_asked_gfid(&told, stock, ours) && known(told.gfid());
        let remembered = |stock: &Told| is_of_remembered_gfid(&told, stock, ours);
        if let Some(at) = only_stock.iter().position(asked) {
            only_stock.remove(at);
            found.asked_gfid += 1;
        } else if let Some(at) = only_stock.iter().position(remembered) {
            only_stock.remove(at);
            found.remembered_gfid += 1;
        } else {
            found.differences.push(format!("only gnotify: {told:?}"));
        }
    }
    found.differences.extend(only_stock.iter().map(|told| format!("only stock: {told:?}")));
    // The rest: for each inode and kind in both or in none, and stock's fop is one that there was.
    let kinds = |all: &[Told]| all.iter().filter_map(once).collect::<BTreeSet<_>>();
    let (our_kinds, stock_kinds) = (kinds(ours), kinds(stock));
    let lacking =
        |whose: &str, (gfid, class): &(Gfid, Class)| format!("only {whose}: {gfid} {class:?}");
    let more = our_kinds.difference(&stock_kinds).map(|once| lacking("gnotify", once));
    found.differences.extend(more);
    let more = stock_kinds.difference(&our_kinds).map(|once| lacking("stock", once));
    found.differences.extend(more);
    let ours: HashSet<&Told> = ours.iter().collect();
    let unknown = stock.iter().filter(|told| once(told).is_some() && !ours.contains(told));
    found.differences.extend(unknown.map(|told| format!("only stock: {told:?}")));
    found.repeated = stock.len() - firsts(stock).len();
    found
}

/// S2: whether both tell of one birth, and no other record knows the gfid that was asked for.
fn is_of_asked_gfid(ours: &Told, stock: &Told, all: &[Told]) -> bool {
    let births = [Fop::CREATE, Fop::MKDIR, Fop::MKNOD, Fop::SYMLINK];
    let same = |told: &Told| {
        // The mode is that of the file which was there.
        let owner = match told {
            Change::Entry {
                entry: Entry::Create(birth) | Entry::Mkdir(birth) | Entry::Mknod(birth),
                ..
            } => Some((birth.uid, birth.gid)),
            _ => None,
        };
        (told.fop().filter(|fop| births.contains(fop)), owner)
    };
    same(ours).0.is_some()
        && same(ours) == same(stock)
        && links(ours) == links(stock)
        && all.iter().all(|told| told.gfid() != stock.gfid())
}

/// S7: whether both tell of one rename or removal of a name, and by all that was recorded before it, gnotify is
/// right.
fn is_of_remembered_gfid(ours: &Told, stock: &Told, all: &[Told]) -> bool {
    let takes_a_name = [Fop::RENAME, Fop::UNLINK, Fop::RMDIR];
    if !ours.fop().is_some_and(|fop| takes_a_name.contains(&fop)) {
        return false;
    }
    let name = links(ours)[0];
    let holder = |at: usize| all[..at].iter().rev().find_map(|told| binds(told, name));
    let places = all.iter().enumerate().filter(|(_, told)| *told == ours);
    (ours.fop(), links(ours)) == (stock.fop(), links(stock))
        && places.map(|(at, _)| holder(at)).any(|holder| holder == Some(Some(ours.gfid())))
}
