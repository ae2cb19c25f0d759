//! `test`: runs the cases of a project and tells what differs; `--record` makes one.

use std::time::{Duration, Instant};

use crate::cases::{self, Case, Means, Outcome, Recording};
use crate::cli::{Global, Output, Test};
use crate::error::{Error, Result};
use crate::interval::{Selection, resolve};
use crate::output;
use crate::project::Project;
use crate::project::connection::Connection;

pub fn test(global: &Global, args: &Test) -> Result<u8> {
    if let Some(job) = &args.record {
        return record(global, job, args);
    }
    let root = super::shared::root(global)?;
    let project = Project::open(&root)?;
    let named = |case: &Case| args.case.as_ref().is_none_or(|text| case.name.contains(text));
    let all = cases::find(&root, args.job.as_deref())?;
    let names: Vec<String> = all.iter().map(Case::title).collect();
    let cases: Vec<Case> = all.into_iter().filter(named).collect();
    if let (true, false, Some(text)) = (cases.is_empty(), names.is_empty(), &args.case) {
        return Err(Error::usage(format!("no case has {text:?} in its name"))
            .hint(format!("the cases are: {}", names.join(", "))));
    }
    if cases.is_empty() {
        return Err(Error::usage("there are no cases to run").hint(
            "a case is a folder fixtures/cases/JOB/CASE with case.toml, input/ and expected.csv; make one of a real day with: \
             daymill test --record JOB --date DATE",
        ));
    }
    let postgres = args.postgres.as_ref().map(|url| Connection::of_url("--postgres", url));
    let means = Means { bless: args.bless, postgres };
    let runtime = super::shared::runtime()?;
    let mut results = Vec::new();
    for case in &cases {
        let at = Instant::now();
        let outcome = runtime.block_on(cases::run(&project, case, &means));
        let outcome = outcome.unwrap_or_else(|error| {
            let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            Outcome::Failed(format!("{error}{hint}"))
        });
        if !args.tap {
            tell(&case.title(), &outcome);
        }
        results.push((case.title(), outcome, at.elapsed()));
    }
    runtime.shutdown_background();
    let without = cases.iter().filter(|case| !case.has_source()).count();
    if means.postgres.is_some() && without > 0 {
        output::note(&format!(
            "{without} of {} cases have no source/: for them no SQL of a source was run",
            cases.len()
        ));
    }
    report(global, args, &results)
}

fn tell(title: &str, outcome: &Outcome) {
    output::note(&match outcome {
        Outcome::Passed => format!("ok      {title}"),
        Outcome::Blessed => format!("blessed {title}"),
        _ => format!("FAILED  {title}\n        {}", outcome.lines().join("\n        ")),
    });
}

fn report(global: &Global, args: &Test, results: &[(String, Outcome, Duration)]) -> Result<u8> {
    if let Some(file) = &args.junit {
        super::shared::write(file, cases::junit(results).as_bytes())?;
    }
    let failed = results.iter().filter(|(_, outcome, _)| !outcome.passed()).count();
    match global.output {
        _ if args.tap => output::result(cases::tap(results).trim_end())?,
        Output::Human => output::result(&format!("{} passed, {failed} failed", results.len() - failed))?,
        Output::Json => {
            let case = |(title, outcome, _): &(String, Outcome, Duration)| serde_json::json!({"case": title, "passed": outcome.passed(), "differences": outcome.lines()});
            let cases: Vec<_> = results.iter().map(case).collect();
            output::json(serde_json::json!({"passed": results.len() - failed, "failed": failed, "cases": cases}))?;
        }
    }
    if failed == 0 {
        return Ok(0);
    }
    let error = Error::data(format!("{failed} of {} cases failed", results.len()));
    // Other rows may be right; an error is none.
    let rows = results.iter().all(|(_, outcome, _)| outcome.passed() || matches!(outcome, Outcome::Differs(_)));
    Err(if rows { error.hint("if the new rows are right, run again with --bless and read the change") } else { error })
}

fn record(global: &Global, job: &str, args: &Test) -> Result<u8> {
    let (project, target) = super::shared::project(global)?;
    let job = project.job(job, &target)?;
    let date = args.date.clone().unwrap_or_default();
    let interval = resolve(&Selection::Date(date), job.grain, job.zone, chrono::Utc::now(), false)?;
    let own = || interval.label().replace([':', '+', '/'], "_");
    let name = args.case.clone().unwrap_or_else(own);
    let wanted = Recording { interval: &interval, rows: args.rows, mask: &args.mask, name };
    let runtime = super::shared::runtime()?;
    let recorded = runtime.block_on(cases::record(&project, &job, &wanted));
    runtime.shutdown_background();
    let (folder, tables) = recorded?;
    let folder = folder.strip_prefix(&project.root).unwrap_or(&folder).display().to_string();
    if global.output == Output::Json {
        let tables: serde_json::Map<_, _> = tables.into_iter().map(|(name, rows)| (name, rows.into())).collect();
        output::json(serde_json::json!({ "case": folder, "tables": tables }))?;
        return Ok(0);
    }
    let tables: Vec<String> = tables.iter().map(|(name, rows)| format!("{name} {rows}")).collect();
    output::result(&format!(
        "{folder} has the rows of {} ({}), and in expected.csv what {} makes of them.\nRead it, then commit it; daymill test {} runs it.",
        interval.label(),
        tables.join(", "),
        job.name,
        job.name
    ))?;
    Ok(0)
}
