//! What the sources of an interval are now, found out with as little reading as possible: a file with the size and the
//! time that were recorded is taken for the same file; rows of Postgres are compared only when asked for.

use super::{Cache, Input, Sessions, files, parquet, postgres};
use crate::error::Result;
use crate::fingerprint::Source;
use crate::interval::Interval;
use crate::progress::Progress;
use crate::project::job::TableSource;
use crate::project::{Job, Project};

/// The files of an interval; those whose stamp is as recorded are not read.
pub fn of_files(
    project: &Project,
    job: &Job,
    interval: &Interval,
    recorded: &[Source],
    cache: &Cache,
) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for spec in &job.extract {
        let TableSource::Parquet(source) = &spec.source else { continue };
        for path in files::list(&project.root, spec, source, interval)?.files {
            let stamp = parquet::Stamp::of(&path)?;
            let mut source = Input {
                table: spec.name.clone(),
                from: path.display().to_string(),
                bytes: Some(stamp.bytes()),
                file: Some(stamp),
                ..Input::default()
            }
            .source(&project.root);
            let known = recorded.iter().find(|r| {
                let (a, b) = (*r, &source);
                (&a.table, &a.from, a.bytes, a.modified) == (&b.table, &b.from, b.bytes, b.modified)
            });
            source.digest = match known {
                Some(known) => known.digest.clone(),
                None => cache.file(&path)?.sha256.clone(),
            };
            sources.push(source);
        }
    }
    Ok(sources)
}

/// The sources of an interval: its files, and the rows of Postgres as recorded or, when `deep`, as they are now.
pub async fn sources(
    project: &Project,
    job: &Job,
    interval: &Interval,
    recorded: &[Source],
    (cache, sessions, deep): (&Cache, &mut Sessions, bool),
) -> Result<Vec<Source>> {
    let mut sources = of_files(project, job, interval, recorded, cache)?;
    let tables = job.extract.iter().filter(|spec| matches!(spec.source, TableSource::Postgres { .. }));
    if !deep {
        sources.extend(tables.flat_map(|spec| recorded.iter().filter(|r| r.table == spec.name).cloned()));
        return Ok(sources);
    }
    let progress = Progress::default();
    for spec in tables {
        let TableSource::Postgres { connection, .. } = &spec.source else { continue };
        let dsn = project.connection(connection)?.resolve()?;
        let origin = postgres::Origin { name: connection, dsn: &dsn, cache, progress: &progress };
        let snapshot = postgres::Snapshot::open(origin, sessions, job, &[spec], interval).await?;
        for (spec, digest) in snapshot.digests(sessions).await? {
            let (table, from) = (spec.name.clone(), dsn.display());
            sources.push(Source { table, from, bytes: None, modified: None, digest });
        }
    }
    Ok(sources)
}
