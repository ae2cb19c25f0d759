//! Places where a test can stop, kill or break a run, and the wrongs that a test can ask for to see that it would notice
//! them. Without the feature `failpoints` each of these is nothing at all.

/// A named place: a failpoint of the `fail` crate, and a place where `DAYMILL_KILL=name` (or `name:n`, at the n-th
/// passing) ends the process as SIGKILL does.
#[cfg(feature = "failpoints")]
pub fn at(name: &'static str) {
    kill(name);
    fail::fail_point!(name);
}

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn at(_name: &'static str) {}

/// Whether `DAYMILL_SABOTAGE` asks for this wrong.
#[cfg(feature = "failpoints")]
pub fn sabotaged(what: &str) -> bool {
    std::env::var("DAYMILL_SABOTAGE").is_ok_and(|asked| asked == what)
}

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn sabotaged(_what: &str) -> bool {
    false
}

/// A limit that `DAYMILL_LIMIT_<NAME>` makes smaller, so that little data reaches what only much data would.
#[cfg(feature = "failpoints")]
pub fn limit(name: &str, default: usize) -> usize {
    let asked = std::env::var(format!("DAYMILL_LIMIT_{name}")).ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn limit(_name: &str, default: usize) -> usize {
    default
}

#[cfg(feature = "failpoints")]
fn kill(name: &str) {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};
    static PASSED: LazyLock<Mutex<HashMap<String, u32>>> = LazyLock::new(Mutex::default);
    let Ok(asked) = std::env::var("DAYMILL_KILL") else { return };
    let (wanted, nth) = asked.split_once(':').map_or((asked.as_str(), 1), |(name, n)| (name, n.parse().unwrap_or(1)));
    if wanted != name {
        return;
    }
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    let count = passed.entry(name.to_owned()).or_default();
    *count += 1;
    if *count == nth {
        // No destructor runs and no buffer is written.
        let _ = std::process::Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
    }
}
