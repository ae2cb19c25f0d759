//! The plan: each interval of a range, how it stands, what is to be done with it and why. Reads the ledger and looks at
//! the sources; changes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Task;
use crate::error::{Class, Error, Result};
use crate::extract::{self, versions};
use crate::fingerprint::Reason;
use crate::fingerprint::{Fingerprint, Source, changed};
use crate::interval::{Interval, instant};
use crate::ledger::history::{self, IntervalRow};
use crate::ledger::{self, chain, claim};
use crate::models::{ModelRef, Version};
use crate::pipeline::Context;
use crate::plain_file;
use crate::schedule::{ByBounds, Estimate, IntervalStatus, Known, Only, estimate, standing};
use crate::warehouse::{self, presence};

/// Sources that cannot be looked at are told, but not each of a year's.
const MOST_WARNINGS: usize = 5;
/// The version of a plan file's form.
const SCHEMA_VERSION: u32 = 1;

/// Which model scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// What the job names, pinned to the version that it means now.
    Job,
    /// `folder@version` or `folder@alias`.
    Named(ModelRef),
    /// The version that the job's alias meant when the interval ended.
    AsOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing is published; a run publishes.
    Run,
    /// A run replaces what is published.
    Replace,
    Keep,
    /// Another process is at it, or it is not over.
    Leave,
}

/// One interval of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    pub interval: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub standing: String,
    pub action: Action,
    pub reason: String,
    /// With its version as a number.
    pub model: Option<ModelRef>,
    /// Why there is no model for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_model: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub schema_version: u32,
    pub job: String,
    pub target: String,
    pub created_at: String,
    /// The job's last record in the ledger when the plan was made.
    pub head: Option<String>,
    /// Digests of the job's definition and of its SQL.
    pub config: String,
    pub sql: String,
    /// What tells each model that is named from any other: a version's files may have been replaced since.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, String>,
    pub intervals: Vec<Item>,
    /// Rows and seconds of one interval, from history.
    #[serde(default, skip_deserializing)]
    pub estimate: Option<Estimate>,
}

impl Plan {
    pub fn chosen(&self) -> impl Iterator<Item = &Item> {
        self.intervals.iter().filter(|item| matches!(item.action, Action::Run | Action::Replace))
    }

    /// The number of the job's last record in the ledger when the plan was made.
    pub fn position(&self) -> i64 {
        let number = self.head.as_deref().and_then(|head| head.split(':').next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// The intervals to run, in the order of the plan.
    pub fn tasks(&self, context: &Context) -> Vec<Task> {
        self.chosen().map(|item| task(item, context)).collect()
    }

    /// The models of the intervals to run must be those that the plan was made with.
    pub fn require_models(&self, context: &Context) -> Result<()> {
        let wanted: HashSet<&ModelRef> = self.chosen().filter_map(|item| item.model.as_ref()).collect();
        for reference in wanted {
            let Some(identity) = self.models.get(&reference.to_string()) else { continue };
            let bundle = context.shared.models.open(&context.project.root, reference, Utc::now())?;
            if bundle.id().to_string() != *identity {
                return Err(Error::config(format!("{reference} is not the model that the plan was made with"))
                    .cause(format!("{} has other weights or another model.toml now", bundle.folder.display()))
                    .hint("a version never changes: put the files back, or make a new version and a new plan"));
            }
        }
        Ok(())
    }

    /// A plan that was written down must still hold: the same job, the same SQL, and no run since.
    pub fn still_holds(&self, now: &Plan) -> Result<()> {
        if (&self.config, &self.sql) != (&now.config, &now.sql) {
            return Err(Error::config(format!("the job {} or its SQL changed since the plan was made", self.job))
                .hint("make a new plan"));
        }
        if self.head != now.head {
            return Err(Error::new(
                Class::Fenced,
                format!(
                    "the ledger moved since the plan was made at {}: there were runs of {}",
                    self.created_at, self.job
                ),
            )
            .hint("make a new plan"));
        }
        Ok(())
    }
}

pub fn task(item: &Item, context: &Context) -> Task {
    let interval = Interval { start: item.start, end: item.end, zone: context.job.zone, grain: context.job.grain };
    let model = match &item.without_model {
        Some(why) => Err(Error::input(why.clone())),
        None => Ok(item.model.clone()),
    };
    Task { interval, model }
}

/// How the intervals of a job stand.
pub struct Inventory {
    pub intervals: Vec<InventoryItem>,
    pub head: Option<String>,
    pub history: Vec<(u64, u64)>,
    /// What could not be compared.
    pub warnings: Vec<String>,
}

pub struct InventoryItem {
    pub interval: Interval,
    pub standing: IntervalStatus,
    pub published: bool,
    pub rows: Option<u64>,
    pub model: Result<Option<Pinned>>,
}

/// What a survey compares with.
pub struct Look<'a> {
    pub choice: &'a Choice,
    /// Rows of Postgres sources are read again and compared, not only files.
    pub deep: bool,
    pub now: DateTime<Utc>,
}

/// Opens the target read-only and finds out how every interval stands.
pub async fn survey(context: &Context, intervals: Vec<Interval>, look: &Look<'_>) -> Result<Inventory> {
    let Context { project, job, target, .. } = context;
    let (mut rows, mut gone, mut head, mut warnings) = (Vec::new(), HashSet::new(), None, Vec::new());
    if let Some(mut db) = ledger::open_to_read(project, target).await? {
        claim::require(&mut db, project, &job.name).await?;
        let span = intervals.first().zip(intervals.last()).map(|(first, last)| (first.start, last.end));
        rows = history::intervals(&mut db, project, target, &job.name, span).await?;
        gone = match presence::gone(&*warehouse::of(project, target), &mut db, &rows).await {
            Ok(gone) => gone,
            // Who may read the ledger may not be allowed to read the rows.
            Err(error) if error.class == Class::Config => {
                warnings
                    .push(format!("whether the published rows are still there was not looked for: {}", error.message));
                HashSet::new()
            }
            Err(error) => return Err(error),
        };
        head = chain::job_head(&mut db, &job.name).await?.map(|head| head.to_string());
        db.close().await;
    }
    let history =
        rows.iter().rev().filter_map(|row| row.published.as_ref()).take(50).map(|p| (p.rows, p.millis)).collect();
    let strays = strays(&rows, &intervals);
    let mut known: ByBounds<IntervalRow> = rows.into_iter().map(|row| ((row.start, row.end), row)).collect();
    let mut survey = Inventory { intervals: Vec::new(), head, history, warnings };
    let (mut models, mut sessions) = (Models::default(), extract::Sessions::new());
    for interval in intervals {
        let model = models.of(context, look.choice, &interval);
        let row = known.remove(&(interval.start, interval.end));
        let reaches = |(stray, _): &&(Interval, String)| stray.start < interval.end && stray.end > interval.start;
        let overlapping = strays.iter().find(reaches).map(|(_, label)| label.clone());
        let rows = row.as_ref().and_then(|row| row.published.as_ref()).map(|p| p.rows);
        let known = match row {
            Some(row) => {
                Some(compare(context, look, &interval, &model, (&mut sessions, &mut survey.warnings), row).await?)
            }
            None => None,
        };
        let known = known.map(|known| Known { gone: known.published && gone.contains(&interval.start), ..known });
        let published = known.as_ref().is_some_and(|k| k.published && !k.gone);
        survey.intervals.push(InventoryItem {
            standing: match overlapping {
                Some(label) => IntervalStatus::Overlaps { label },
                None => standing(&interval, known, look.now),
            },
            published,
            rows,
            model,
            interval,
        });
    }
    Ok(survey)
}

/// Published intervals that are none of these: the grain or the time zone was another.
fn strays(rows: &[IntervalRow], intervals: &[Interval]) -> Vec<(Interval, String)> {
    let bounds: HashSet<_> = intervals.iter().map(|interval| (interval.start, interval.end)).collect();
    let stray = rows.iter().filter(|row| row.published.is_some() && !bounds.contains(&(row.start, row.end)));
    let Some(like) = intervals.first() else { return Vec::new() };
    stray.map(|row| (Interval { start: row.start, end: row.end, ..like.clone() }, row.label.clone())).collect()
}

/// What the ledger says of an interval, compared with what would be published today.
async fn compare(
    context: &Context,
    look: &Look<'_>,
    interval: &Interval,
    model: &Result<Option<Pinned>>,
    (sessions, warnings): (&mut extract::Sessions, &mut Vec<String>),
    row: IntervalRow,
) -> Result<Known> {
    let Context { project, job, shared, .. } = context;
    let mut known =
        Known { published: row.published.is_some(), state: row.state, error: row.error, ..Known::default() };
    known.published_at = row.published.as_ref().and_then(|published| published.at.parse().ok());
    let Ok(before) = serde_json::from_str::<Fingerprint>(&row.fingerprint) else {
        known.stale.extend(known.published.then_some(Reason::Unknown));
        return Ok(known);
    };
    let recorded: Vec<Source> = serde_json::from_str(&row.inputs).unwrap_or_default();
    let (cache, progress) = (&shared.cache, &context.progress);
    let reader = extract::Reader { project, job, interval, cache, progress };
    match versions::current(reader, &recorded, sessions, look.deep).await {
        Ok(sources) => known.late.extend(changed(&recorded, &sources)),
        // A database that is away would be away for every interval.
        Err(error) if look.deep && error.class != Class::Input => return Err(error),
        Err(error) if warnings.len() < MOST_WARNINGS => {
            warnings.push(format!("{}: {}", interval.label(), error.message))
        }
        Err(_) => {}
    }
    let identity = match model {
        Ok(model) => model.as_ref().map(|(_, identity)| identity.clone()),
        Err(_) => before.model.clone(),
    };
    known.stale = before.stale(&Fingerprint::new(&project.root, job, identity, &recorded));
    Ok(known)
}

/// The model of each interval: reference and identity, each version opened once.
#[derive(Default)]
struct Models {
    pinned: Option<Result<Option<Pinned>>>,
    by_reference: HashMap<ModelRef, Result<Pinned>>,
}

/// A model by its version, and what tells it from any other.
pub type Pinned = (ModelRef, String);

impl Models {
    fn of(&mut self, context: &Context, choice: &Choice, interval: &Interval) -> Result<Option<Pinned>> {
        let Some(score) = &context.job.score else { return Ok(None) };
        let reference = match choice {
            Choice::Named(reference) => reference,
            Choice::Job | Choice::AsOf => &score.model,
        };
        match (choice, &reference.version) {
            (Choice::AsOf, Version::Alias(_)) => {
                let then = reference.at(&context.project.root, interval.end)?;
                let opened = self.by_reference.entry(then).or_insert_with_key(|then| open(context, then));
                opened.clone().map(Some)
            }
            _ => self.pinned.get_or_insert_with(|| open(context, reference).map(Some)).clone(),
        }
    }
}

fn open(context: &Context, reference: &ModelRef) -> Result<Pinned> {
    let (root, now) = (&context.project.root, Utc::now());
    let pinned = reference.at(root, now)?;
    let bundle = context.shared.models.open(root, &pinned, now)?;
    Ok((pinned, bundle.id().to_string()))
}

/// Decides which intervals to take. A model that cannot be opened at all is an error now, not once a day.
pub async fn plan(
    context: &Context,
    intervals: Vec<Interval>,
    look: &Look<'_>,
    only: &[Only],
) -> Result<(Plan, Vec<String>)> {
    let mut survey = survey(context, intervals, look).await?;
    // Who looks for stale intervals should know what was not looked at.
    if only.contains(&Only::Stale) && versions::some_are_costly(&context.job) && !look.deep {
        survey.warnings.push("rows in Postgres were not compared with what was read; --deep reads them again".into());
    }
    let pinned = survey.intervals.iter().filter_map(|item| item.model.as_ref().ok()?.as_ref());
    let models = pinned.map(|(reference, identity)| (reference.to_string(), identity.clone())).collect();
    let item = |s: InventoryItem| {
        let action = match (&s.standing, only.iter().any(|only| only.takes(&s.standing)), s.published) {
            (IntervalStatus::Running | IntervalStatus::Future, ..) => Action::Leave,
            (_, false, _) => Action::Keep,
            (_, true, false) => Action::Run,
            (_, true, true) => Action::Replace,
        };
        let without_model = s.model.as_ref().err().map(|e| e.message.clone());
        if *look.choice != Choice::AsOf
            && let Err(error) = &s.model
        {
            return Err(error.clone());
        }
        Ok(Item {
            interval: s.interval.label(),
            start: s.interval.start,
            end: s.interval.end,
            standing: s.standing.name().to_owned(),
            action,
            reason: s.standing.reason(),
            model: s.model.ok().flatten().map(|(reference, _)| reference),
            without_model,
        })
    };
    let now = Fingerprint::new(&context.project.root, &context.job, None, &[]);
    let plan = Plan {
        schema_version: SCHEMA_VERSION,
        job: context.job.name.clone(),
        target: context.target.clone(),
        created_at: instant(look.now),
        head: survey.head,
        config: now.config,
        sql: now.sql,
        models,
        estimate: estimate(&survey.history),
        intervals: survey.intervals.into_iter().map(item).collect::<Result<_>>()?,
    };
    Ok((plan, survey.warnings))
}

/// Reads a plan that was written down.
pub fn read(path: &Path) -> Result<Plan> {
    let bytes = plain_file::read(path, plain_file::PLAN)?;
    let plan: Plan = parse(&bytes).map_err(|e| e.context(path.display()))?;
    Ok(plan)
}

pub fn parse(bytes: &[u8]) -> Result<Plan> {
    let plan: Plan =
        serde_json::from_slice(bytes).map_err(|e| Error::config("this is not a plan of Daymill").cause(e))?;
    if plan.schema_version != SCHEMA_VERSION {
        return Err(Error::config(format!(
            "the plan has version {}, and this Daymill knows {SCHEMA_VERSION}",
            plan.schema_version
        )));
    }
    Ok(plan)
}
