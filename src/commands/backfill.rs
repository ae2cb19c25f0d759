//! `backfill`, `plan`, `apply` and `retry`: many intervals, seen before they run and while they do.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::json;

use crate::backfill::plan::{self, Action, Choice, Item, Look, Plan};
use crate::backfill::{CACHE_BYTES, Event, Finished};
use crate::cli::{Apply, Backfill, Global, Only, Order, Output, PlanArgs, RangeArgs, Retry};
use crate::error::{Class, Error, Result};
use crate::extract::Cache;
use crate::interval::{self, Grain, Interval};
use crate::ledger::{self, batch, history};
use crate::models::ModelRef;
use crate::output;
use crate::pipeline::{Context, Shared};
use crate::progress::Progress;
use crate::project::gate_spec::Against;
use crate::project::{Job, Project};
use crate::run_state::RunState;
use crate::schedule::{FAILED, Only as Takes, spans};

use super::backfill_summary::Summary;
use super::bars::Bars;

pub fn backfill(global: &Global, args: &Backfill) -> Result<u8> {
    bring_up(global)?;
    let made = make(global, &args.plan)?;
    for warning in &made.warnings {
        output::warn(warning);
    }
    if global.output == Output::Human {
        output::note(&describe(&made.plan, args.jobs));
    }
    if let Some(file) = &args.plan.out {
        write(&made.plan, file)?;
    }
    // Where the last attempt at replacing one failed, it was meant to be replaced.
    let failed = |item: &Item| item.standing == FAILED;
    let replaced = || made.plan.chosen().filter(|item| item.action == Action::Replace);
    let (unasked, replaced) = (replaced().filter(|item| !failed(item)).count(), replaced().count());
    if unasked > 0 && !args.yes {
        let intervals = if replaced == 1 { "interval" } else { "intervals" };
        match output::confirm(&format!("Replace {replaced} published {intervals}?"))? {
            Some(true) => {}
            Some(false) => return Err(Error::new(Class::Interrupted, "nothing was run")),
            None => {
                return Err(Error::usage(format!(
                    "{replaced} published {intervals} would be replaced, and there is no terminal to ask"
                ))
                .hint("pass --yes; nothing was run"));
            }
        }
    }
    run(global, &made.context, &made.plan, args.jobs, "backfill")
}

pub fn plan(global: &Global, args: &PlanArgs) -> Result<u8> {
    let made = make(global, args)?;
    for warning in &made.warnings {
        output::warn(warning);
    }
    if let Some(file) = &args.out {
        write(&made.plan, file)?;
        output::note(&format!("run it with: daymill apply {}", file.display()));
    }
    match global.output {
        Output::Json => output::json(serde_json::to_value(&made.plan).unwrap_or_default())?,
        Output::Human => output::result(&describe(&made.plan, 1))?,
    }
    Ok(0)
}

/// What is going to write reads no ledger of an earlier version.
fn bring_up(global: &Global) -> Result<()> {
    let (project, target) = super::shared::project(global)?;
    super::shared::runtime()?.block_on(ledger::bring_up(&project, &target))
}

pub fn apply(global: &Global, args: &Apply) -> Result<u8> {
    let written = plan::read(&args.file)?;
    bring_up(&Global { target: Some(written.target.clone()), ..global.clone() })?;
    let context = context(global, &written.job, Some(&written.target))?;
    let intervals = written.intervals.iter().map(|item| plan::task(item, &context).interval).collect();
    let look = Look { choice: &Choice::Job, deep: false, now: Utc::now() };
    let now = runtime_plan(&context, intervals, &look, &[])?;
    written.still_holds(&now.0)?;
    run(global, &context, &written, args.jobs, "apply")
}

pub fn retry(global: &Global, args: &Retry) -> Result<u8> {
    bring_up(global)?;
    let (project, target) = super::shared::project(global)?;
    let newest;
    let id = match &args.run {
        Some(id) => super::shared::id(id)?,
        None => {
            newest = super::shared::runtime()?.block_on(newest_run(&project, &target))?;
            newest.as_str()
        }
    };
    let (batches, runs) = super::shared::runtime()?.block_on(async {
        let Some(mut db) = ledger::open_to_read(&project, &target).await? else { return Ok((Vec::new(), Vec::new())) };
        let batches = batch::find(&mut db, id).await?;
        let wanted = history::Wanted { prefix: Some(id), limit: 10_000, ..history::Wanted::default() };
        let mut runs = history::runs(&mut db, &project, &target, wanted).await?;
        // The ids of a backfill and of its runs begin alike: those of its runs do not count beside its own.
        if let [(id, _)] = batches.as_slice() {
            runs.retain(|run| run.batch.as_deref() != Some(id));
        }
        let mut plans = batches;
        if let ([], [run]) = (plans.as_slice(), runs.as_slice())
            && let Some(id) = &run.batch
        {
            plans = batch::find(&mut db, id).await?;
        }
        db.close().await;
        Ok::<_, Error>((plans, runs))
    })?;
    let mut written = match (batches.as_slice(), runs.as_slice()) {
        ([(_, text)], []) => plan::parse(text.as_bytes())?,
        // One interval of a backfill: with the model that the backfill had pinned for it.
        ([(_, text)], [run]) => one_of(plan::parse(text.as_bytes())?, run),
        ([], [run]) => alone(global, run, &target)?,
        ([], []) => {
            return Err(Error::usage(format!("the ledger has no run and no backfill {id:?}"))
                .hint("list them with: daymill runs"));
        }
        _ => {
            return Err(
                Error::usage(format!("more than one run or backfill begins with {id:?}")).hint("give more of its id")
            );
        }
    };
    let whole = runs.is_empty();
    let context = context(global, &written.job, Some(&target))?;
    if let ([_], true, false) = (batches.as_slice(), whole, args.all) {
        leave_done(&context, &mut written)?;
    }
    if global.output == Output::Human {
        output::note(&describe(&written, args.jobs));
    }
    run(global, &context, &written, args.jobs, "retry")
}

/// The id of the newest run, or of the backfill that it was a part of.
async fn newest_run(project: &Project, target: &str) -> Result<String> {
    let none = || Error::usage("the ledger has no run to retry").hint("start one with: daymill run JOB --date DATE");
    let mut db = ledger::open_to_read(project, target).await?.ok_or_else(none)?;
    let wanted = history::Wanted { limit: 1, ..history::Wanted::default() };
    let runs = history::runs(&mut db, project, target, wanted).await?;
    db.close().await;
    let newest = runs.into_iter().next().ok_or_else(none)?;
    Ok(newest.batch.unwrap_or(newest.run_id))
}

/// The part of a backfill's plan that one of its runs was.
fn one_of(mut plan: Plan, run: &history::RunRow) -> Plan {
    plan.intervals.retain(|item| interval::instant(item.start) == run.start && interval::instant(item.end) == run.end);
    for item in &mut plan.intervals {
        item.action = if item.action == Action::Keep { Action::Replace } else { item.action };
    }
    plan
}

/// The interval of a run on its own.
fn alone(global: &Global, run: &history::RunRow, target: &str) -> Result<Plan> {
    let context = context(global, &run.job, Some(target))?;
    let time =
        |text: &str| text.parse().map_err(|e| Error::config(format!("the ledger holds the time {text:?}")).cause(e));
    let (zone, grain) = (context.job.zone, context.job.grain);
    let interval = Interval { start: time(&run.start)?, end: time(&run.end)?, zone, grain };
    let look = Look { choice: &Choice::Job, deep: false, now: Utc::now() };
    let (plan, _) = runtime_plan(&context, vec![interval], &look, &[Takes::All])?;
    // What tells the model from any other begins with its label.
    let now = plan.models.values().next().and_then(|identity| identity.split(' ').next());
    if let (Some(before), Some(now)) = (&run.model, now)
        && before != now
    {
        output::warn(&format!("the run scored with {before}; the job now names {now}, which scores this time"));
    }
    Ok(plan)
}

/// Of a backfill that ran before, only what has not succeeded since it began is left.
fn leave_done(context: &Context, written: &mut Plan) -> Result<()> {
    let done = super::shared::runtime()?.block_on(async {
        let Some(mut db) = ledger::open_to_read(&context.project, &context.target).await? else {
            return Ok(Vec::new());
        };
        let rows = history::intervals(&mut db, &context.project, &context.target, &context.job.name, None).await?;
        db.close().await;
        // By the numbers of the ledger: clocks may have been set back.
        let since = |row: &history::IntervalRow| {
            matches!(row.state, RunState::Succeeded | RunState::Skipped) && row.attempt_seq > written.position()
        };
        Ok::<_, Error>(rows.iter().filter(|row| since(row)).map(|row| (row.start, row.end)).collect::<Vec<_>>())
    })?;
    for item in &mut written.intervals {
        if done.contains(&(item.start, item.end)) && matches!(item.action, Action::Run | Action::Replace) {
            item.action = Action::Keep;
            item.reason = "done since".into();
        }
    }
    Ok(())
}

struct Made {
    context: Context,
    plan: Plan,
    warnings: Vec<String>,
}

fn make(global: &Global, args: &PlanArgs) -> Result<Made> {
    let context = context(global, &args.job, None)?;
    context.job.require_interval()?;
    let intervals = range(&context.job, &args.range)?;
    if args.model.is_some() && context.job.score.is_none() {
        return Err(Error::usage(format!("the job {} has no [score], so --model has no meaning", context.job.name)));
    }
    let choice = match args.model.as_deref() {
        None => Choice::Job,
        Some("as-of") => Choice::AsOf,
        Some(name) => Choice::Named(ModelRef::required(name)?),
    };
    let only: Vec<Takes> = args
        .only
        .iter()
        .map(|only| match only {
            Only::Missing => Takes::Missing,
            Only::Failed => Takes::Failed,
            Only::Stale => Takes::Stale,
            Only::All => Takes::All,
        })
        .collect();
    let look = Look { choice: &choice, deep: args.deep, now: Utc::now() };
    let (mut plan, warnings) = runtime_plan(&context, intervals, &look, &only)?;
    if args.order == Order::Newest {
        plan.intervals.reverse();
    }
    Ok(Made { context, plan, warnings })
}

fn runtime_plan(
    context: &Context,
    intervals: Vec<Interval>,
    look: &Look<'_>,
    only: &[Takes],
) -> Result<(Plan, Vec<String>)> {
    super::shared::runtime()?.block_on(plan::plan(context, intervals, look, only))
}

/// A context for many intervals; its own interval is never run.
pub fn context(global: &Global, job: &str, target: Option<&str>) -> Result<Context> {
    let project = Project::open(&super::shared::root(global)?)?;
    let target = project.target_name(global.target.as_deref().or(target))?;
    let job = project.job(job, &target)?;
    let threads = super::shared::threads(global, &project);
    let nowhere = Interval { start: Utc::now(), end: Utc::now(), zone: job.zone, grain: job.grain };
    let context = Context::new(Arc::new(project), Arc::new(job), &target, nowhere, threads);
    let shared = Shared { cache: Cache::with_budget(CACHE_BYTES), ..Shared::default() };
    Ok(Context { shared: Arc::new(shared), ..context })
}

/// The intervals of a range; what is not said comes from the job.
pub fn range(job: &Job, args: &RangeArgs) -> Result<Vec<Interval>> {
    let mut all = asked_for(job, args)?;
    let Some(ends) = job.ends else { return Ok(all) };
    let asked = all.len();
    all.retain(|interval| interval.date() <= ends);
    match asked - all.len() {
        0 => {}
        _ if all.is_empty() => {
            return Err(Error::usage(format!(
                "all of these intervals are after the job's last date, ends = \"{ends}\""
            ))
            .hint(format!("`ends` stands in jobs/{}.toml", job.name)));
        }
        left => output::warn(&format!("{left} intervals after the job's last date are left out (ends = \"{ends}\")")),
    }
    Ok(all)
}

fn asked_for(job: &Job, args: &RangeArgs) -> Result<Vec<Interval>> {
    if let (Some(start), Some(end)) = (&args.start, &args.end) {
        return interval::within(start, end, job.grain, job.zone);
    }
    let now = Utc::now();
    if args.last.is_some() || args.month.is_some() {
        return recent(job, args, now);
    }
    let date = |text: &Option<String>| text.as_deref().map(|t| interval::relative::date(t, job.zone, now)).transpose();
    let from = date(&args.from)?.or(job.starts).ok_or_else(|| {
        Error::usage("from which date?")
            .hint("pass --from, or give the job file a first date, as in starts = \"2013-06-01\"")
    })?;
    let asked = date(&args.to)?;
    let to = asked.map_or_else(|| last_date(job, now), Ok)?;
    let mut all = interval::between(from, to, job.grain, job.zone)?;
    if asked.is_none() && job.grain == Grain::Hour {
        all.retain(|interval| interval.end <= Utc::now());
    }
    Ok(all)
}

/// The date of the last complete interval, or the job's last.
pub fn last_date(job: &Job, now: DateTime<Utc>) -> Result<NaiveDate> {
    let as_of = interval::Selection::AsOf(interval::instant(now));
    let complete = interval::resolve(&as_of, job.grain, job.zone, now, false)?.date();
    Ok(job.ends.map_or(complete, |ends| ends.min(complete)))
}

/// The last days, or a month: what of them is complete and within the job's range.
fn recent(job: &Job, args: &RangeArgs, now: DateTime<Utc>) -> Result<Vec<Interval>> {
    let last = last_date(job, now)?;
    let (from, to) = match (&args.month, &args.last) {
        (Some(month), _) => interval::relative::month(month)?,
        (None, text) => {
            (interval::relative::begin(last, interval::relative::days(text.as_deref().unwrap_or_default())?), last)
        }
    };
    let (from, to) = (job.starts.map_or(from, |starts| starts.max(from)), to.min(last));
    if from > to {
        let what = args.month.as_ref().map_or_else(|| "--last".to_owned(), |month| format!("--month {month}"));
        return Err(Error::usage(format!("no interval of {what} is complete and within the job's range"))
            .hint("`starts` and `ends` of the job file say what its range is"));
    }
    let mut all = interval::between(from, to, job.grain, job.zone)?;
    all.retain(|interval| interval.end <= now);
    Ok(all)
}

fn write(plan: &Plan, file: &PathBuf) -> Result<()> {
    let text = serde_json::to_string_pretty(plan).unwrap_or_default();
    std::fs::write(file, text + "\n").map_err(|e| Error::io(file, "write", &e))
}

/// A plan for a person: one line for each stretch of intervals with one action and reason.
fn describe(plan: &Plan, jobs: u16) -> String {
    let items = &plan.intervals;
    let (Some(first), Some(last)) = (items.first(), items.last()) else { return "there are no intervals".into() };
    let chosen = plan.chosen().count();
    let mut lines = vec![format!(
        "{} in {}: {} of {} intervals to run ({} to {})",
        plan.job,
        plan.target,
        chosen,
        items.len(),
        first.interval,
        last.interval
    )];
    let key = |item: &Item| {
        (item.action, item.standing.clone(), item.reason.clone(), item.model.clone(), item.without_model.clone())
    };
    let rows: Vec<Vec<String>> = spans(items, key)
        .into_iter()
        .map(|(from, to)| {
            let item = &items[from];
            let label =
                if from == to { item.interval.clone() } else { format!("{} to {}", item.interval, items[to].interval) };
            let action = match item.action {
                Action::Run => "run",
                Action::Replace => "replace",
                Action::Keep => "keep",
                Action::Leave => "leave",
            };
            let why = match (&item.without_model, item.reason.is_empty()) {
                (Some(why), _) => why.clone(),
                (None, true) => item.standing.clone(),
                (None, false) => item.reason.clone(),
            };
            let model = item.model.as_ref().map_or_else(|| "-".to_owned(), ModelRef::short);
            vec![action.into(), (to - from + 1).to_string(), label, model, why]
        })
        .collect();
    lines.push(output::table(&["action", "n", "intervals", "model", "why"], &rows));
    if let (Some(estimate), true) = (plan.estimate, chosen > 0) {
        let total = estimate.seconds * chosen as f64 / f64::from(jobs.max(1)).min(chosen as f64);
        lines.push(format!(
            "from history: about {} rows and {} an interval: {} rows in {}",
            output::count(estimate.rows),
            output::seconds(estimate.seconds),
            output::count(estimate.rows * chosen as u64),
            output::seconds(total)
        ));
    }
    lines.join("\n")
}

/// Runs what a plan takes; exit 0 when all of it is published.
fn run(global: &Global, context: &Context, plan: &Plan, jobs: u16, command: &str) -> Result<u8> {
    let started = std::time::Instant::now();
    // A gate that asks what stands before must find it there.
    let history = context.job.gates.iter().any(|gate| gate.against.as_ref().is_some_and(Against::is_history));
    let jobs = match history && jobs > 1 {
        true => {
            output::note("one interval at a time: a gate compares each with those before it");
            1
        }
        false => jobs,
    };
    let tasks = plan.tasks(context);
    if tasks.is_empty() {
        return nothing(global, plan, command);
    }
    plan.require_models(context)?;
    let id = uuid::Uuid::now_v7().to_string();
    let runtime = super::shared::runtime()?;
    let head = runtime.block_on(async {
        let mut db = ledger::open(&context.project, &context.target, "daymill/backfill").await?;
        let text = serde_json::to_string(plan).unwrap_or_default();
        let recorded = batch::record(&mut db, &id, &plan.job, &text).await;
        db.close().await;
        recorded
    });
    head?;
    let progress = Progress::default();
    runtime.block_on(async { super::terminal::signals(&progress) });
    let threads = (context.threads / usize::from(jobs)).max(1);
    let base = Context { progress: progress.clone(), batch: Some(id.clone()), threads, ..context.clone() };
    let folder = context.project.state_folder();
    let mut bars = Bars::new(global, &plan.job, &tasks, usize::from(jobs));
    let mut finished: Vec<Option<Finished>> = tasks.iter().map(|_| None).collect();
    let mut unwritten = None;
    crate::backfill::run(&base, &tasks, usize::from(jobs), |event| {
        bars.see(&event);
        if let Event::Finished(end) = event {
            unwritten = end.report.write(&folder).err().or(unwritten.take());
            let index = end.index;
            finished[index] = Some(*end);
        }
    });
    bars.end();
    runtime.shutdown_background();
    let summary = Summary {
        id: &id,
        command,
        target: super::shared::target_flag(&context.project, &context.target),
        plan,
        tasks: &tasks,
        finished: &finished,
        seconds: started.elapsed().as_secs_f64(),
    };
    summary.write(&folder)?;
    super::run_folders::prune(&folder, context.project.keep_runs, &id);
    summary.show(global)?;
    match (progress.check(), summary.failure()) {
        (Err(signal), _) => Err(summary.interrupted(&signal)),
        (Ok(()), Some(error)) => Err(error),
        (Ok(()), None) => unwritten.map_or(Ok(0), Err),
    }
}

fn nothing(global: &Global, plan: &Plan, command: &str) -> Result<u8> {
    let published = plan.intervals.iter().filter(|item| item.action == Action::Keep).count();
    let more = match (published, command) {
        (0, _) => "",
        (_, "retry") => ": what was to run is done since; --all runs it again",
        _ => {
            ": what is published stays; --only all replaces it, --only stale what another model, SQL or source would change"
        }
    };

    match global.output {
        Output::Json => output::json(
            json!({"job": plan.job, "target": plan.target, "state": RunState::Succeeded, "intervals": []}),
        )?,
        Output::Human => output::result(&format!("nothing to do{more}"))?,
    }
    Ok(0)
}
