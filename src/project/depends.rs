//! Whether what a job publishes depends on its interval at all: a job without a filter would publish its whole source
//! under every date.

use super::job::{Job, TableSource, TableSpec};
use crate::error::{Error, Result};
use crate::interval::{Grain, Interval};
use crate::placeholders;

impl Job {
    /// Refuses a job of which every interval would publish the same rows, unless a table says that it is meant.
    pub fn require_interval(&self) -> Result<()> {
        let apart = self.extract.iter().any(|spec| self.told_apart(spec)) || self.bounded(&self.transform.text);
        if apart || self.extract.iter().all(|spec| spec.snapshot) {
            return Ok(());
        }
        let each = if self.grain == Grain::Day { "day" } else { "hour" };
        let names = if self.grain == Grain::Day { "{date}" } else { "{date} and {hour}" };
        let sql = if self.grain == Grain::Day { ":date, or by :start and :end" } else { ":start and :end" };
        Err(Error::config(format!(
            "{}: no table depends on the interval: every {each} would publish the same rows",
            self.file.display()
        ))
        .hint(format!(
            "filter by {sql} in the SQL, name the files by {names}, or give a table a time_column; if the same rows are \
             meant for every {each}, say snapshot = true in each [extract.TABLE]"
        )))
    }

    /// Whether the rows of a table are those of one interval.
    pub fn told_apart(&self, spec: &TableSpec) -> bool {
        match &spec.source {
            TableSource::Query { sql, .. } => self.bounded(&sql.text),
            TableSource::Files(source) => {
                let day = ["{date}", "{day}"].iter().any(|name| source.template.contains(name));
                let hour = source.template.contains("{hour}");
                source.time_column.is_some() || (day && (hour || self.grain == Grain::Day))
            }
        }
    }

    fn bounded(&self, sql: &str) -> bool {
        let used = placeholders::used(sql);
        let wanted: &[&str] = if self.grain == Grain::Day { &["date", "start", "end"] } else { &["start", "end"] };
        wanted.iter().any(|name| used.contains(*name))
    }

    /// Refuses an hour whose file is also that of another one: where clocks go back, an hour comes twice.
    pub fn require_own_file(&self, spec: &TableSpec, interval: &Interval) -> Result<()> {
        let TableSource::Files(source) = &spec.source else { return Ok(()) };
        let by_hour = self.grain == Grain::Hour && source.template.contains("{hour}");
        if !by_hour || source.time_column.is_some() || spec.snapshot || self.bounded(&self.transform.text) {
            return Ok(());
        }
        let twins = interval.twins();
        if twins.len() < 2 {
            return Ok(());
        }
        Err(Error::config(format!(
            "table {}: {} read the same file {}, which would be published twice",
            spec.name,
            twins.iter().map(Interval::label).collect::<Vec<_>>().join(" and "),
            source.template
        ))
        .hint("give the table a time_column, so that each takes its own rows of it; nothing was published"))
    }
}
