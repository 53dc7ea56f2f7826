//! The going on of what was parked.
//!
//! A parked fop goes on from the reply of the one ahead of it. The storage translator answers on the same thread,
//! so that the next one would go on from the reply of that one, and so forth: a queue of sixty fops would need
//! sixty times the stack. So what can go on while this thread is already at it waits until it has come back.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::names::Call;

thread_local! {
    /// What this thread has still to do, while it is at it.
    static TO_DO: RefCell<Option<VecDeque<Call>>> = const { RefCell::new(None) };
}

/// Runs `calls`, and whatever can go on by them.
#[inline]
pub(crate) fn resume(calls: [Option<Call>; 2]) {
    if calls.iter().any(Option::is_some) {
        go_on(calls);
    } else {
        // Two that are none need no look at how a call is dropped.
        std::mem::forget(calls);
    }
}

#[cold]
fn go_on(calls: [Option<Call>; 2]) {
    let at_it = TO_DO.with_borrow_mut(|to_do| {
        let at_it = to_do.is_some();
        to_do.get_or_insert_default().extend(calls.into_iter().flatten());
        at_it
    });
    if at_it {
        return;
    }
    while let Some(call) = TO_DO.with_borrow_mut(|to_do| to_do.as_mut()?.pop_front()) {
        call();
    }
    TO_DO.set(None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Each call lets the next one go on, as replies do.
    fn chain(left: usize, depth: Arc<Mutex<(usize, usize, usize)>>) -> Call {
        Box::new(move || {
            {
                let mut depth = depth.lock().unwrap();
                depth.0 += 1;
                depth.1 = depth.1.max(depth.0);
                depth.2 += 1;
            }
            if left > 0 {
                resume([Some(chain(left - 1, Arc::clone(&depth))), None]);
            }
            depth.lock().unwrap().0 -= 1;
        })
    }

    #[test]
    fn a_long_queue_needs_no_deep_stack() {
        let depth = Arc::new(Mutex::new((0, 0, 0)));
        resume([Some(chain(10_000, Arc::clone(&depth))), None]);
        assert_eq!(*depth.lock().unwrap(), (0, 1, 10_001));
    }
}
