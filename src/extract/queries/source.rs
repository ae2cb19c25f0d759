//! Queries of one connection as a source.

use polars::prelude::{IntoLazy, LazyFrame};
use sqlx::AssertSqlSafe;

use super::session::{Sessions, begin_snapshot, source_error};
use super::snapshot::{self, Origin, Read, Snapshot};
use crate::error::Result;
use crate::extract::extraction::Extraction;
use crate::extract::input::Input;
use crate::extract::schema;
use crate::extract::source::{Opened, Reader, Source, Task};
use crate::fingerprint;
use crate::placeholders;
use crate::postgres::decode::Wire;
use crate::postgres::liveness::Backend;
use crate::progress::Progress;
use crate::project::connection::Dsn;
use crate::project::job::{SqlFile, TableSpec};

/// The tables of one connection, all read in one snapshot.
pub struct Queries<'a> {
    pub connection: &'a str,
    pub tables: Vec<(&'a TableSpec, &'a SqlFile)>,
}

struct OpenQueries<'a> {
    from: String,
    warnings: Vec<String>,
    snapshot: Snapshot<'a>,
}

impl Queries<'_> {
    fn dsn(&self, reader: Reader<'_>) -> Result<Dsn> {
        reader.project.connection(self.connection)?.resolve()
    }

    async fn snapshot<'a>(&'a self, reader: Reader<'a>, sessions: &mut Sessions, dsn: &Dsn) -> Result<Snapshot<'a>> {
        let origin = Origin { name: self.connection, cache: reader.cache, progress: reader.progress };
        Snapshot::open((origin, dsn), sessions, reader.job, &self.tables, reader.interval).await
    }

    async fn described(&self, reader: Reader<'_>, spec: &TableSpec, sql: &SqlFile) -> Result<LazyFrame> {
        let dsn = self.dsn(reader)?;
        let mut connection = crate::postgres::connect(&dsn, &format!("daymill/{}/check", reader.job.name)).await?;
        let backend = Backend::of(&mut connection, &dsn).await?;
        begin_snapshot(&mut connection, reader.job).await.map_err(|e| source_error(&e))?;
        let (interval, mut session) = (reader.interval, (connection, backend));
        let found = snapshot::describe(&mut session, sql, interval.date(), interval, &Progress::default())
            .await
            .map_err(|e| snapshot::place(e, &spec.name, &sql.path))?;
        let wanted = snapshot::wanted(spec, &sql.path.display().to_string(), &found)?;
        // Only what begins to run is asked for its rights.
        let text = placeholders::postgres(&sql.text, interval.date(), interval)?;
        let explain = format!("EXPLAIN SELECT * FROM (\n{text}\n) AS daymill_source");
        let explained = sqlx::raw_sql(AssertSqlSafe(explain)).execute(&mut session.0).await;
        explained.map_err(|e| snapshot::place(source_error(&e), &spec.name, &sql.path))?;
        let column = |(name, wire): &(String, Wire)| Some((name.clone(), wire.column_type()?));
        Ok(schema::empty(&wanted.iter().filter_map(column).collect()).lazy())
    }
}

impl Source for Queries<'_> {
    fn tables(&self) -> Vec<&TableSpec> {
        self.tables.iter().map(|(spec, _)| *spec).collect()
    }

    fn costly(&self) -> bool {
        true
    }

    fn describe<'a>(&'a self, reader: Reader<'a>, table: &'a TableSpec, offline: bool) -> Task<'a, Option<LazyFrame>> {
        Box::pin(async move {
            let Some((spec, sql)) = self.tables.iter().find(|(spec, _)| spec.name == table.name) else {
                return Ok(None);
            };
            match offline {
                true => Ok((!spec.columns.is_empty()).then(|| schema::empty(&spec.columns).lazy())),
                false => self.described(reader, spec, sql).await.map(Some),
            }
        })
    }

    fn versions<'a>(
        &'a self,
        reader: Reader<'a>,
        _: &'a [fingerprint::Source],
        sessions: &'a mut Sessions,
    ) -> Task<'a, Vec<fingerprint::Source>> {
        Box::pin(async move {
            let dsn = self.dsn(reader)?;
            let digests = self.snapshot(reader, sessions, &dsn).await?.digests(sessions).await?;
            let source = |(spec, digest): (&TableSpec, String)| fingerprint::Source {
                table: spec.name.clone(),
                from: dsn.display(),
                bytes: None,
                modified: None,
                digest,
            };
            Ok(digests.into_iter().map(source).collect())
        })
    }

    fn open<'a: 's, 's>(&'a self, reader: Reader<'a>, sessions: &'s mut Sessions) -> Task<'s, Box<dyn Opened + 'a>> {
        Box::pin(async move {
            let dsn = self.dsn(reader)?;
            let snapshot = self.snapshot(reader, sessions, &dsn).await?;
            let warnings = snapshot.other_clocks(reader.job.zone);
            Ok(Box::new(OpenQueries { from: dsn.display(), warnings, snapshot }) as Box<dyn Opened + 'a>)
        })
    }
}

impl Opened for OpenQueries<'_> {
    fn tables(&self) -> Result<Vec<(String, LazyFrame)>> {
        Ok(self.snapshot.tables()?.into_iter().map(|(name, frame)| (name, frame.lazy())).collect())
    }

    fn read<'a>(
        self: Box<Self>,
        driving: Option<&'a str>,
        sessions: &'a mut Sessions,
        extraction: &'a mut Extraction,
    ) -> Task<'a, ()>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let schemas = self.tables()?;
            let OpenQueries { from, warnings, snapshot } = *self;
            extraction.warnings.extend(warnings);
            let (tables, arriving) = snapshot.read(driving, sessions).await?;
            for Read { spec, table } in tables {
                extraction.inputs.push(Input {
                    table: spec.name.clone(),
                    from: from.clone(),
                    rows: table.rows,
                    ignored: table.ignored,
                    rows_digest: Some(table.digest),
                    ..Input::default()
                });
                extraction.tables.push((spec.name.clone(), table.frame.lazy()));
            }
            if let Some(rows) = arriving {
                extraction.tables.extend(schemas.into_iter().find(|(name, _)| *name == rows.table));
                extraction.stream(rows, &from);
            }
            Ok(())
        })
    }
}
