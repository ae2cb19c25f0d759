//! What the engine says while runs are at work. It has one ear for the whole process, so what it says while several runs are at
//! work may be of any of them: each is told it, and that.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The runs that listen, by number, and what each has heard.
static LISTENERS: Mutex<BTreeMap<u64, Vec<String>>> = Mutex::new(BTreeMap::new());

fn listeners() -> MutexGuard<'static, BTreeMap<u64, Vec<String>>> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hear(text: &str, kind: polars_error::PolarsWarning) {
    // That a part of Polars is old is not the user's business.
    if !matches!(kind, polars_error::PolarsWarning::Deprecation) {
        hear_in(&mut listeners(), text);
    }
}

/// Tells every listener, each thing once.
fn hear_in(listeners: &mut BTreeMap<u64, Vec<String>>, text: &str) {
    let text = match listeners.len() {
        0 | 1 => text.to_owned(),
        _ => format!("{text} (said while other runs were at work; it may be of one of them)"),
    };
    for heard in listeners.values_mut().filter(|heard| !heard.contains(&text)) {
        heard.push(text.clone());
    }
}

/// Hears what the engine says until it is dropped.
#[derive(Debug)]
pub struct Listening(u64);

/// From now on what the engine says comes here, and not to the terminal.
pub fn attend() {
    polars_error::set_warning_function(hear);
}

impl Listening {
    pub fn begin() -> Listening {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        attend();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        listeners().insert(number, Vec::new());
        Listening(number)
    }

    /// What was heard.
    pub fn end(self) -> Vec<String> {
        listeners().remove(&self.0).unwrap_or_default()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        listeners().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_what_was_said_while_it_was_at_work() {
        let mut listeners = BTreeMap::new();
        hear_in(&mut listeners, "nobody is here");
        listeners.insert(1, Vec::new());
        hear_in(&mut listeners, "a");
        hear_in(&mut listeners, "a");
        listeners.insert(2, Vec::new());
        hear_in(&mut listeners, "b");
        let both = "b (said while other runs were at work; it may be of one of them)";
        assert_eq!(listeners[&1], ["a", both]);
        assert_eq!(listeners[&2], [both]);
        listeners.remove(&1);
        hear_in(&mut listeners, "c");
        assert_eq!(listeners[&2], [both, "c"]);
    }

    #[test]
    fn nothing_is_left_of_a_run_that_has_ended() {
        let (one, two) = (Listening::begin(), Listening::begin());
        assert_ne!(one.0, two.0);
        let (first, second) = (one.0, two.0);
        drop(one);
        two.end();
        assert!(!listeners().contains_key(&first) && !listeners().contains_key(&second));
    }
}
