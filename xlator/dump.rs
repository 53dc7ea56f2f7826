//! The instance's section of the host's statedump: how things stand, for the administrator.
//!
//! It takes no lock that anybody waits under: the host may hold its own while it dumps.

use std::sync::atomic::Ordering::Relaxed;

use gnotify_bindings::statedump::{section, write};

use gnotify_record::Gfid;

use crate::instance::Instance;
use crate::options::Options;

pub(crate) fn dump(instance: &Instance) {
    let this = instance.this();
    section(&format!("xlator.gnotify.{}", this.name().to_string_lossy()));
    write("type", &this.kind().to_string_lossy());
    write("persona", if instance.role().is_some() { "changelog" } else { "gnotify" });
    let mut state = "off";
    match instance.try_settings() {
        Some(settings) => {
            for (key, value) in settings.options.iter().flat_map(Options::shown) {
                write(&format!("option.{key}"), &value);
            }
            if let Some(why) = &settings.refused {
                write("journal.refused", why);
                state = "refused";
            } else if settings.options.as_ref().is_some_and(|options| options.journal) {
                state = "on";
            }
        }
        None => state = "being reconfigured",
    }
    write("journal.state", state);
    if let Some(journal) = instance.journal() {
        let stats = journal.stats();
        let number = |key: &str, value: u64| write(&format!("journal.{key}"), &value.to_string());
        write("journal.epoch", &Gfid(stats.epoch).to_string());
        number("start", stats.start_id);
        number("next-sequence", stats.next_seq);
        number("drained-sequence", stats.drained_seq);
        number("slice", stats.slice);
        write("journal.segment", &stats.segment.display().to_string());
        number("segment-bytes", stats.segment_len);
        number("segments", stats.segments);
        number("compressed-segments", stats.packed_segments);
        number("bytes", stats.bytes);
        number("ring-size", stats.ring_size);
        number("ring-used", stats.ring_used);
        number("dropped", stats.dropped);
        number("io-errors", stats.io_errors);
    }
    if let Some(role) = instance.role() {
        role.dump(write);
    }
    let counters = &instance.counters;
    write("clients", &instance.clients.len().to_string());
    for (fop, count) in counters.records() {
        write(&format!("records.{fop}"), &count.to_string());
    }
    write("repeated-in-slice", &counters.repeated.load(Relaxed).to_string());
    write("dropped", &counters.dropped.load(Relaxed).to_string());
    write("panics", &counters.panics.load(Relaxed).to_string());
    write("rename-hints-ignored", &counters.ignored_hints.load(Relaxed).to_string());
    let (visits, mean, longest) = counters.fop_path();
    write("fop-path.visits", &visits.to_string());
    write("fop-path.mean-ns", &mean.as_nanos().to_string());
    write("fop-path.longest-ns", &longest.as_nanos().to_string());
}
