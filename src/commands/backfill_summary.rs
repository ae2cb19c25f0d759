//! How a backfill ended, for people and for machines.

use serde_json::{Value, json};

use crate::backfill::plan::Plan;
use crate::backfill::{Finished, Task};
use crate::cli::{Global, Output};
use crate::error::{Class, Error, Result};
use crate::output;
use crate::run_state::RunState;

/// Failures of one kind: the first in full, and which others.
fn failure(group: &[(&Task, &Error)]) -> String {
    let Some((task, error)) = group.first() else { return String::new() };
    let hint = error.hint.as_ref().map(|h| format!("\n    hint: {}", output::line(h))).unwrap_or_default();
    let causes: String = error.causes.iter().map(|cause| format!("\n    {}", output::line(cause))).collect();
    let more = match &group[1..] {
        [] => String::new(),
        [(other, _)] => format!("\n    and so did {}", other.interval.label()),
        [.., (last, _)] => {
            format!("\n    and so did {} others, up to {}", group.len() - 1, last.interval.label())
        }
    };
    format!("  ✗ {}  {}{causes}{hint}{more}", task.interval.label(), output::line(&error.message))
}

/// How a backfill ended.
pub struct Summary<'a> {
    pub id: &'a str,
    pub command: &'a str,
    /// The flag by which a command means the same target.
    pub target: String,
    pub plan: &'a Plan,
    pub tasks: &'a [Task],
    pub finished: &'a [Option<Finished>],
    pub seconds: f64,
}

impl Summary<'_> {
    fn failed(&self) -> impl Iterator<Item = (&Task, &Error)> {
        let ended = self.tasks.iter().zip(self.finished);
        ended.filter_map(|(task, end)| Some((task, end.as_ref()?.result.as_ref().err()?)))
    }

    /// The failed intervals, those together that failed in the same way.
    fn alike(&self) -> Vec<Vec<(&Task, &Error)>> {
        let mut groups: Vec<(String, Vec<(&Task, &Error)>)> = Vec::new();
        for (task, error) in self.failed() {
            let own =
                |text: &str| text.replace(&task.interval.label(), "").replace(&task.interval.date().to_string(), "");
            let kind = own(&format!("{error}{:?}", error.hint));
            match groups.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, group)) => group.push((task, error)),
                None => groups.push((kind, vec![(task, error)])),
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    fn state(&self) -> RunState {
        let all = self.finished.iter().all(|end| end.as_ref().is_some_and(|end| end.result.is_ok()));
        if all { RunState::Succeeded } else { RunState::Failed }
    }

    fn value(&self) -> Value {
        let interval = |(task, end): (&Task, &Option<Finished>)| match end {
            None => json!({"interval": task.interval.label(), "state": "not begun"}),
            Some(end) => {
                let mut value = json!({
                    "interval": task.interval.label(), "state": end.report.state, "run_id": end.report.run_id,
                    "rows": end.report.rows.published, "seconds": end.report.seconds, "content_hash": end.report.content_hash,
                    "model": end.report.model.as_ref().map(|m| format!("{}@{}", m.name, m.version)),
                });
                if let Err(error) = &end.result {
                    value["error"] = json!({"class": error.class.name(), "message": error.message, "causes": error.causes, "hint": error.hint});
                }
                value
            }
        };
        json!({
            "schema_version": 1, "command": self.command, "backfill_id": self.id, "job": self.plan.job, "target": self.plan.target,
            "state": self.state(), "seconds": self.seconds, "ledger_head": self.head(),
            "intervals": self.tasks.iter().zip(self.finished).map(interval).collect::<Vec<_>>(),
        })
    }

    /// The last head that a run of this backfill saw.
    fn head(&self) -> Option<String> {
        let heads = self.finished.iter().flatten().filter_map(|end| end.report.ledger_head.clone());
        heads.max_by_key(|head| head.split(':').next().and_then(|n| n.parse::<i64>().ok()))
    }

    pub fn write(&self, folder: &std::path::Path) -> Result<()> {
        let own = folder.join("runs").join(self.id);
        std::fs::create_dir_all(&own).map_err(|e| Error::io(&own, "create", &e))?;
        let mut value = self.value();
        crate::project::secrets::redact_json(&mut value);
        let text = serde_json::to_string_pretty(&value).unwrap_or_default();
        for path in [own.join("run.json"), folder.join("runs").join("latest.json")] {
            let draft = own.join("run.json.part");
            let written = std::fs::write(&draft, &text).and_then(|()| std::fs::rename(&draft, &path));
            written.map_err(|e| Error::io(&path, "write", &e))?;
        }
        Ok(())
    }

    pub fn show(&self, global: &Global) -> Result<()> {
        if global.output == Output::Json {
            return output::json(self.value());
        }
        let done = self.finished.iter().flatten().filter(|end| end.result.is_ok()).count();
        let rows: u64 = self.finished.iter().flatten().map(|end| end.report.rows.published).sum();
        let text = format!(
            "{} {}: {done} of {} intervals done, {} rows in {} ({} an interval)",
            self.command,
            self.plan.job,
            self.tasks.len(),
            output::count(rows),
            output::seconds(self.seconds),
            output::seconds(self.seconds / self.tasks.len().max(1) as f64)
        );
        let mut lines = vec![output::sentence(&text, 2)];
        lines.extend(self.alike().iter().map(|group| failure(group)));
        let left = self.finished.iter().filter(|end| end.is_none()).count();
        if left > 0 {
            lines.push(format!("  {left} intervals were not begun"));
        }
        if let Some(head) = self.head() {
            lines.push(format!("  ledger head {head}"));
        }
        output::result(&lines.join("\n"))
    }

    /// A signal came. What was published stays, and the same plan goes on where it stopped.
    pub fn interrupted(&self, signal: &Error) -> Error {
        let done = self.finished.iter().flatten().filter(|end| end.result.is_ok()).count();
        let (n, id) = (self.tasks.len(), self.id);
        Error::new(signal.class, format!("the backfill {id} was stopped: {done} of {n} intervals are done and stay"))
            .hint(format!("go on with: daymill retry {id}{}", self.target))
    }

    pub fn failure(&self) -> Option<Error> {
        let failed: Vec<_> = self.failed().collect();
        let left = self.finished.iter().filter(|end| end.is_none()).count();
        if failed.is_empty() && left == 0 {
            return None;
        }
        if let Some((_, gone)) = failed.iter().find(|(_, error)| error.class == Class::Unavailable) {
            return Some((*gone).clone().context(format!(
                "{} of {} intervals are not done",
                failed.len() + left,
                self.tasks.len()
            )));
        }
        let labels: Vec<String> = failed.iter().map(|(task, _)| task.interval.label()).collect();
        let shown = labels.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
        let more = if labels.len() > 10 { format!(" and {} more", labels.len() - 10) } else { String::new() };
        Some(
            Error::new(
                Class::Partial,
                format!("{} of {} intervals failed: {shown}{more}", labels.len(), self.tasks.len()),
            )
            .hint(format!("mend the cause, then: daymill retry {}{}", self.id, self.target)),
        )
    }
}
