//! `jobs`: what jobs the project has, and what each reads, scores with and writes.

use chrono::Utc;
use serde_json::{Value, json};

use crate::cli::{Global, Output};
use crate::error::Result;
use crate::interval::{Grain, instant};
use crate::output;
use crate::project::Job;
use crate::project::job;

pub fn jobs(global: &Global) -> Result<u8> {
    let (project, target) = super::shared::project(global)?;
    // One job that cannot be read hides no other.
    let names = job::list(&project.root)?;
    let read: Vec<_> = names.iter().map(|name| (name, project.job(name, &target))).collect();
    match global.output {
        Output::Json => output::json(read.iter().map(|(name, job)| value(name, job.as_ref())).collect())?,
        Output::Human if read.is_empty() => output::result("there is no file in jobs/ yet")?,
        Output::Human => {
            let rows: Vec<_> = read.iter().map(|(name, job)| row(name, job.as_ref())).collect();
            output::result(&output::table(&["job", "every", "model", "table", "description"], &rows))?;
        }
    }
    match read.into_iter().find_map(|(_, job)| job.err()) {
        Some(error) => Err(error),
        None => Ok(0),
    }
}

fn row(name: &str, job: Result<&Job, &crate::error::Error>) -> Vec<String> {
    let Ok(job) = job else { return vec![name.into(), "-".into(), "-".into(), "-".into(), "cannot be read".into()] };
    let every = match job.grain {
        Grain::Day => format!("day, {}", job.zone),
        Grain::Hour => format!("hour, {}", job.zone),
    };
    let model = job.score.as_ref().map_or_else(|| "-".into(), |score| score.model.to_string());
    vec![name.into(), every, model, job.load.table.clone(), job.description.clone()]
}

fn value(name: &str, job: Result<&Job, &crate::error::Error>) -> Value {
    let job = match job {
        Ok(job) => job,
        Err(error) => return json!({ "job": name, "error": error.message }),
    };
    json!({
        "job": name, "description": job.description, "grain": if job.grain == Grain::Day { "day" } else { "hour" },
        "timezone": job.zone.name(), "schedule": job.schedule.as_ref().map(|schedule| &schedule.text),
        "next_due": job.next_due(Utc::now()).map(instant), "starts": job.starts, "ends": job.ends, "key": job.key,
        "sources": job.extract.iter().map(|table| &table.name).collect::<Vec<_>>(),
        "model": job.score.as_ref().map(|score| score.model.to_string()), "table": job.load.table,
    })
}
