//! `test`: runs the cases of a project and tells what differs.

use crate::cases::{self, Case};
use crate::cli::{Global, Output};
use crate::error::{Error, Result};
use crate::output;
use crate::project::Project;

pub fn test(global: &Global, job: Option<&str>, filter: Option<&str>, bless: bool) -> Result<u8> {
    let root = super::shared::root(global)?;
    let project = Project::open(&root)?;
    let cases: Vec<Case> =
        cases::find(&root, job)?.into_iter().filter(|c| filter.is_none_or(|text| c.name.contains(text))).collect();
    if cases.is_empty() {
        return Err(Error::usage("there are no cases to run")
            .hint("a case is a folder fixtures/cases/JOB/CASE with case.toml, input/ and expected.csv"));
    }
    let runtime = super::shared::runtime()?;
    let mut results = Vec::new();
    for case in &cases {
        let outcome = runtime.block_on(cases::run(&project, case, bless));
        let differences = outcome.unwrap_or_else(|error| vec![error.to_string()]);
        let title = format!("{}/{}", case.job, case.name);
        match differences.as_slice() {
            [] => output::note(&format!("{} {title}", if bless { "blessed" } else { "ok     " })),
            lines => output::note(&format!("FAILED  {title}\n        {}", lines.join("\n        "))),
        }
        results.push((title, differences));
    }
    runtime.shutdown_background();
    let failed = results.iter().filter(|(_, differences)| !differences.is_empty()).count();
    match global.output {
        Output::Human => output::result(&format!("{} passed, {failed} failed", results.len() - failed))?,
        Output::Json => {
            let cases: Vec<_> = results
                .iter()
                .map(|(title, d)| serde_json::json!({"case": title, "passed": d.is_empty(), "differences": d}))
                .collect();
            output::json(serde_json::json!({"passed": results.len() - failed, "failed": failed, "cases": cases}))?;
        }
    }
    if failed == 0 {
        return Ok(0);
    }
    Err(Error::data(format!("{failed} of {} cases failed", results.len()))
        .hint("if the new rows are right, run again with --bless and read the change"))
}
