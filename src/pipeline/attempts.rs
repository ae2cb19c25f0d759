//! Trying again: the whole attempt, never a part of it, while the error is one that passes.

use std::time::{Duration, Instant};

use tracing::Instrument;

use super::context::{Context, Sessions};
use super::report::RunReport;
use crate::error::{Class, Error, Result};

/// Attempts at one interval when the trouble is one that passes.
const ATTEMPTS: u32 = 4;
/// No new attempt begins after this.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Runs an interval, again if need be; `tell` hears why.
pub async fn run(
    context: &Context,
    sessions: &mut Sessions,
    report: &mut RunReport,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<()> {
    let (before, started) = (report.clone(), Instant::now());
    for attempt in 1.. {
        let span = report.span();
        context.progress.work_on(span.clone());
        let error = match super::run(context, sessions, report).instrument(span.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // What failed may have left a session in a state that nobody knows.
        *sessions = Sessions::default();
        // After a lost connection the server may hold this run's own lock a moment longer.
        let passes = error.transient || (attempt > 1 && error.class == Class::Locked);
        if !passes || context.progress.stopped() {
            return Err(error);
        }
        if attempt >= ATTEMPTS || started.elapsed() > DEADLINE {
            return Err(error.context(format!("after {attempt} attempts")));
        }
        // From half of 1, 2, 4 seconds up to all of it: apart from other runs, but never so quick that four attempts are
        // over before a server has started again.
        let random = uuid::Uuid::now_v7().as_u128() as u64 % 500;
        let wait = Duration::from_millis((1 << (attempt - 1)) * (500 + random));
        let seconds = wait.as_secs_f64();
        span.in_scope(|| tell(&format!("attempt {attempt} of {ATTEMPTS}: {error}; trying again in {seconds:.1} s")));
        tokio::time::sleep(wait).await;
        context.progress.check()?;
        let generation = report.generation;
        *report = before.clone();
        report.generation = generation;
        report.run_id = uuid::Uuid::now_v7().to_string();
    }
    Err(Error::defect("attempts never end"))
}
