//! Which entries are printed.
//!
//! A filter narrows what is seen, but must not make a journal look whole that is not: statements that
//! something may be missing come through wherever what is missing could have been asked for.

use gnotify_journal::{Cause, Gap, How, Statement};
use gnotify_record::{Fop, Gfid, Link, Origin, Record};

/// What was asked for. An empty list asks for everything.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// The first time (nanoseconds since 1970).
    pub(crate) since: Option<u64>,
    /// The first time that is too late.
    pub(crate) until: Option<u64>,
    pub(crate) fops: Vec<Fop>,
    pub(crate) gfids: Vec<Gfid>,
    /// Parts of clients' uid strings.
    pub(crate) clients: Vec<String>,
    pub(crate) origins: Vec<Origin>,
    /// The time of the first entry from `until` on that was seen: what is missing behind it is too late, too.
    /// (A recovery tells all that is missing at one time.)
    past: Option<u64>,
}

impl Filter {
    pub(crate) fn new(
        since: Option<u64>,
        until: Option<u64>,
        fops: Vec<Fop>,
        gfids: Vec<Gfid>,
        clients: Vec<String>,
        origins: Vec<Origin>,
    ) -> Filter {
        Filter { since, until, fops, gfids, clients, origins, past: None }
    }

    /// Whether a record is asked for; `client` is the uid string of its client.
    pub(crate) fn wants_record(
        &mut self,
        time: u64,
        record: &Record<'_>,
        client: Option<&[u8]>,
    ) -> bool {
        // What an uncertain record tells of is older than itself, and of some fields it knows nothing.
        let in_time = self.in_time(time);
        let unknown = |of: bool| record.uncertain && of;
        (in_time || unknown(self.may_reach_back(time)))
            && any_or_all(&self.fops, |fop| *fop == record.fop)
            && any_or_all(&self.origins, |origin| *origin == record.origin)
            && (unknown(record.gfid.is_none())
                || any_or_all(&self.gfids, |gfid| names(record, *gfid)))
            && (unknown(client.is_none())
                || any_or_all(&self.clients, |part| client.is_some_and(|uid| contains(uid, part))))
    }

    /// Whether a statement is printed.
    ///
    /// One that says nothing about missing records is left out when particular records are asked for.
    pub(crate) fn wants_statement(&mut self, time: u64, statement: &Statement<'_>) -> bool {
        let was_past = self.past.is_some();
        let in_time = self.in_time(time);
        match loss(statement) {
            Loss::No => in_time && !self.asks_for_records(),
            Loss::Until => self.may_reach_back(time),
            Loss::Around => !was_past,
            Loss::Switch => true,
        }
    }

    fn asks_for_records(&self) -> bool {
        !(self.fops.is_empty()
            && self.gfids.is_empty()
            && self.clients.is_empty()
            && self.origins.is_empty())
    }

    /// Whether what was told at `time` may have happened within the times that are asked for.
    fn may_reach_back(&self, time: u64) -> bool {
        self.past.is_none_or(|past| time <= past) && self.since.is_none_or(|since| time >= since)
    }

    fn in_time(&mut self, time: u64) -> bool {
        let late = self.until.is_some_and(|until| time >= until);
        if late && self.past.is_none() {
            self.past = Some(time);
        }
        !late && self.since.is_none_or(|since| time >= since)
    }
}

/// What a statement says about records that may be missing.
enum Loss {
    /// Nothing.
    No,
    /// They are older than the statement.
    Until,
    /// The reader found it, so its time is that of the entry before: they are newer than that.
    Around,
    /// None was made, or they are made again.
    Switch,
}

fn loss(statement: &Statement<'_>) -> Loss {
    match statement {
        Statement::Gap(Gap { cause: Cause::Damaged | Cause::Trimmed, .. }) => Loss::Around,
        Statement::Gap(_) | Statement::Void { .. } => Loss::Until,
        Statement::Start(start) if matches!(start.how, How::PowerLoss | How::Other(_)) => {
            Loss::Until
        }
        Statement::Off | Statement::On => Loss::Switch,
        // A later version may say so in a way of its own.
        Statement::Unknown(_) => Loss::Until,
        Statement::Start(_)
        | Statement::Stop
        | Statement::SliceEnd { .. }
        | Statement::Trimmed { .. }
        | Statement::Client { .. }
        | Statement::ClientGone { .. } => Loss::No,
    }
}

fn any_or_all<T>(list: &[T], matches: impl Fn(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(matches)
}

/// Whether a record names an inode in any role.
fn names(record: &Record<'_>, gfid: Gfid) -> bool {
    let parent = |link: &Option<Link<'_>>| link.as_ref().map(|link| link.parent);
    [
        record.gfid,
        parent(&record.at),
        parent(&record.to),
        record.replaced,
        record.source.map(|source| source.gfid),
        record.renaming.as_ref().map(|renaming| renaming.from.parent),
        record.renaming.as_ref().map(|renaming| renaming.to.parent),
    ]
    .contains(&Some(gfid))
}

fn contains(uid: &[u8], part: &str) -> bool {
    part.is_empty() || uid.windows(part.len()).any(|window| window == part.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use gnotify_journal::Start;
    use gnotify_record::{Renaming, Source};

    use super::*;

    fn record(fop: Fop, origin: Origin) -> Record<'static> {
        Record::new(fop, origin)
    }

    fn gap(cause: Cause) -> Statement<'static> {
        Statement::Gap(Gap { to: 9, cause, lost: None })
    }

    fn start(how: How) -> Statement<'static> {
        let (boot_id, version) = ([0; 16], b"".as_slice());
        Statement::Start(Start { start_id: 2, previous: 1, how, boot_id, last_time: 0, version })
    }

    #[test]
    fn nothing_asked_for_is_everything() {
        let mut filter = Filter::default();
        assert!(filter.wants_record(0, &record(Fop(200), Origin::Unknown), None));
        for statement in [Statement::Stop, Statement::On, gap(Cause::Io), start(How::First)] {
            assert!(filter.wants_statement(0, &statement), "{statement:?}");
        }
    }

    #[test]
    fn times_take_in_the_first_and_leave_out_the_last() {
        let write = record(Fop::WRITE, Origin::Client);
        for (time, want) in [(9, false), (10, true), (19, true), (20, false)] {
            let mut filter = Filter { since: Some(10), until: Some(20), ..Filter::default() };
            assert_eq!(filter.wants_record(time, &write, None), want, "{time}");
            assert_eq!(filter.wants_statement(time, &Statement::Stop), want, "{time}");
        }
    }

    #[test]
    fn kinds_of_filters_narrow_each_other_and_values_of_one_widen_it() {
        let mut filter = Filter {
            fops: vec![Fop::WRITE, Fop::CREATE],
            origins: vec![Origin::Shard],
            ..Filter::default()
        };
        assert!(filter.wants_record(0, &record(Fop::WRITE, Origin::Shard), None));
        assert!(filter.wants_record(0, &record(Fop::CREATE, Origin::Shard), None));
        assert!(!filter.wants_record(0, &record(Fop::CREATE, Origin::Client), None));
        assert!(!filter.wants_record(0, &record(Fop::UNLINK, Origin::Shard), None));
    }

    #[test]
    fn a_gfid_is_found_in_every_role() {
        let [me, other, third] = [Gfid([1; 16]), Gfid([2; 16]), Gfid([3; 16])];
        let link = |parent| Some(Link { parent, name: Cow::Borrowed(b"n".as_slice()) });
        let renaming = |from, to| {
            let (from, to) = link(from).zip(link(to))?;
            Some(Box::new(Renaming { from, to }))
        };
        let bare = || record(Fop::RENAME, Origin::Client);
        let records = [
            Record { gfid: Some(me), ..bare() },
            Record { at: link(me), ..bare() },
            Record { to: link(me), ..bare() },
            Record { replaced: Some(me), ..bare() },
            Record { source: Some(Source { gfid: me, offset: 0 }), ..bare() },
            Record { renaming: renaming(me, third), ..bare() },
            Record { renaming: renaming(third, me), ..bare() },
        ];
        for record in records {
            let mut filter = Filter { gfids: vec![me], ..Filter::default() };
            assert!(filter.wants_record(0, &record, None), "{record:?}");
            let mut filter = Filter { gfids: vec![other], ..Filter::default() };
            assert!(!filter.wants_record(0, &record, None), "{record:?}");
        }
    }

    #[test]
    fn a_client_is_found_by_a_part_of_its_uid() {
        let mut filter = Filter { clients: vec!["HOST:node1".into()], ..Filter::default() };
        let write = record(Fop::WRITE, Origin::Client);
        assert!(filter.wants_record(0, &write, Some(b"CTX_ID:\xff-PID:7-HOST:node1-PC_NAME:v")));
        assert!(!filter.wants_record(0, &write, Some(b"CTX_ID:a-PID:7-HOST:node2-PC_NAME:v")));
        assert!(!filter.wants_record(0, &write, None));
    }

    #[test]
    fn an_uncertain_record_is_shown_where_it_may_be_what_was_asked_for() {
        let uncertain =
            |gfid| Record { gfid, uncertain: true, ..record(Fop::CREATE, Origin::Client) };
        let [me, other] = [Gfid([1; 16]), Gfid([2; 16])];
        let mut filter =
            Filter { clients: vec!["node1".into()], gfids: vec![me], ..Filter::default() };
        assert!(filter.wants_record(0, &uncertain(None), None));
        assert!(filter.wants_record(0, &uncertain(Some(me)), None));
        assert!(!filter.wants_record(0, &uncertain(Some(other)), None));
        let mut filter = Filter { fops: vec![Fop::MKDIR], ..Filter::default() };
        assert!(!filter.wants_record(0, &uncertain(None), None));
        // It is older than its time, as all that the recovery found is.
        let mut filter = Filter { since: Some(10), until: Some(20), ..Filter::default() };
        assert!(!filter.wants_record(9, &uncertain(None), None));
        assert!(filter.wants_statement(25, &Statement::Void { to: 3 }));
        assert!(filter.wants_record(25, &uncertain(None), None));
        assert!(filter.wants_record(25, &uncertain(Some(me)), None));
        assert!(filter.wants_statement(25, &gap(Cause::InFlight)));
        assert!(!filter.wants_record(26, &uncertain(None), None));
    }

    #[test]
    fn filters_on_records_leave_only_statements_of_loss() {
        let mut filter = Filter { fops: vec![Fop::WRITE], ..Filter::default() };
        let hidden = [
            start(How::First),
            start(How::Clean),
            start(How::Killed),
            Statement::Stop,
            Statement::SliceEnd { slice: 1 },
        ];
        let shown = [
            start(How::PowerLoss),
            gap(Cause::RingFull),
            gap(Cause::Trimmed),
            Statement::Void { to: 3 },
            Statement::Off,
            Statement::On,
            Statement::Unknown(200),
        ];
        for statement in hidden {
            assert!(!filter.wants_statement(0, &statement), "{statement:?}");
        }
        for statement in shown {
            assert!(filter.wants_statement(0, &statement), "{statement:?}");
        }
    }

    #[test]
    fn a_gap_is_shown_where_it_may_hold_what_was_asked_for() {
        let window = || Filter { since: Some(10), until: Some(20), ..Filter::default() };
        // Written after what it covers, so one from before is about what was before.
        assert!(!window().wants_statement(9, &gap(Cause::RingFull)));
        assert!(window().wants_statement(9, &gap(Cause::Damaged)));
        assert!(window().wants_statement(9, &Statement::Off));
        // The first one that comes too late may cover what was in time.
        let mut filter = window();
        assert!(filter.wants_statement(25, &gap(Cause::PowerLoss)));
        assert!(!filter.wants_statement(26, &gap(Cause::PowerLoss)));
        let mut filter = window();
        assert!(!filter.wants_record(21, &record(Fop::WRITE, Origin::Client), None));
        assert!(!filter.wants_statement(21, &gap(Cause::Damaged)));
    }
}
