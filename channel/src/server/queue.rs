//! What waits for a consumer: events in batches, each to become one call, in a bounded amount of memory.

use std::collections::VecDeque;
use std::mem::size_of;

use crate::event::{CALL_EVENTS, Event};

/// What a batch takes besides the paths in it, however full it is.
const BATCH: usize = CALL_EVENTS * size_of::<Event>() + size_of::<Vec<Event>>();

#[derive(Debug)]
pub(super) struct Queue {
    batches: VecDeque<Vec<Event>>,
    events: usize,
    bytes: usize,
    max_bytes: usize,
}

impl Queue {
    pub(super) fn new(max_bytes: usize) -> Queue {
        Queue { batches: VecDeque::new(), events: 0, bytes: 0, max_bytes }
    }

    /// Appends a copy, or says that there is no room.
    pub(super) fn push(&mut self, event: &Event) -> bool {
        let begins = self.batches.back().is_none_or(|batch| batch.len() == CALL_EVENTS);
        let cost = event.heap_size() + if begins { BATCH } else { 0 };
        if self.bytes + cost > self.max_bytes {
            return false;
        }
        if begins {
            self.batches.push_back(Vec::with_capacity(CALL_EVENTS));
        }
        if let Some(batch) = self.batches.back_mut() {
            batch.push(event.clone());
        }
        self.events += 1;
        self.bytes += cost;
        true
    }

    /// The first events, as many as go into one call.
    pub(super) fn pop(&mut self) -> Option<Vec<Event>> {
        let batch = self.batches.pop_front()?;
        self.events -= batch.len();
        self.bytes -= BATCH + batch.iter().map(Event::heap_size).sum::<usize>();
        Some(batch)
    }

    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether at most half of its room is taken.
    pub(super) fn is_half_empty(&self) -> bool {
        self.bytes <= self.max_bytes / 2
    }
}

#[cfg(test)]
mod tests {
    use gnotify_record::Gfid;
    use proptest::prelude::*;

    use super::*;
    use crate::event::JournalPath;

    fn event(number: u32, path: usize) -> Event {
        if path == 0 {
            return Event::Open { gfid: Gfid::ROOT, flags: number.cast_signed() };
        }
        Event::Journal { path: JournalPath::new(format!("{number:0path$}").as_bytes()).unwrap() }
    }

    proptest! {
        /// Against a plain list: order, counts and the bound, whatever is put in and taken out.
        #[test]
        fn it_is_a_bounded_list(
            steps in proptest::collection::vec(proptest::option::weighted(0.95, 0usize..300), 0..400),
        ) {
            let max = 4 * BATCH;
            let mut queue = Queue::new(max);
            let mut list = VecDeque::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Some(path) => {
                        let event = event(number as u32, path);
                        if queue.push(&event) {
                            list.push_back(event);
                        } else {
                            prop_assert!(queue.bytes() + event.heap_size() + BATCH > max);
                        }
                    }
                    None => {
                        let batch = queue.pop().unwrap_or_default();
                        prop_assert!(batch.len() <= CALL_EVENTS);
                        prop_assert_eq!(&batch, &list.drain(..batch.len()).collect::<Vec<_>>());
                    }
                }
                prop_assert_eq!(queue.events(), list.len());
                prop_assert!(queue.bytes() <= max);
                prop_assert_eq!(queue.is_half_empty(), queue.bytes() <= max / 2);
            }
            while let Some(batch) = queue.pop() {
                prop_assert_eq!(&batch, &list.drain(..batch.len()).collect::<Vec<_>>());
            }
            prop_assert!(list.is_empty());
            prop_assert_eq!((queue.events(), queue.bytes()), (0, 0));
        }
    }
}
