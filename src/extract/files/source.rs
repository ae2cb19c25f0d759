//! Files as a source.

use polars::prelude::{IntoLazy, LazyFrame};

use super::table::{Scan, described, scan};
use super::version::Stamp;
use super::{location, table};
use crate::error::{Error, Result};
use crate::extract::extraction::Extraction;
use crate::extract::input::Input;
use crate::extract::queries::session::Sessions;
use crate::extract::schema;
use crate::extract::source::{Opened, Reader, Source, Task};
use crate::fingerprint;
use crate::project::job::{FileSource, TableSpec};

/// A table whose rows are in files.
pub struct Files<'a> {
    pub spec: &'a TableSpec,
    pub source: &'a FileSource,
}

struct OpenFiles<'a> {
    spec: &'a TableSpec,
    scan: Scan,
}

impl Files<'_> {
    fn described(&self, reader: Reader<'_>) -> Result<LazyFrame> {
        let (root, template) = (&reader.project.root, &self.source.template);
        let path = location::newest(root, template)?
            .ok_or_else(|| Error::input(format!("no file matches {template}, for any date")))?;
        let found = described(root, &path, self.spec, &self.source.format)?;
        Ok(schema::empty(&schema::agree(self.spec, &path.display().to_string(), &found)?).lazy())
    }

    /// The files of an interval; those whose stamp is as recorded are not read.
    fn current(&self, reader: Reader<'_>, recorded: &[fingerprint::Source]) -> Result<Vec<fingerprint::Source>> {
        let root = &reader.project.root;
        let version = |path: &std::path::PathBuf| {
            let stamp = Stamp::of(path)?;
            let input = Input {
                table: self.spec.name.clone(),
                from: path.display().to_string(),
                bytes: Some(stamp.bytes()),
                file: Some(stamp.clone()),
                ..Input::default()
            };
            let mut source = input.source(root);
            let known = recorded.iter().find(|r| {
                let (a, b) = (*r, &source);
                (&a.table, &a.from, a.bytes, a.modified) == (&b.table, &b.from, b.bytes, b.modified)
            });
            source.digest = match known {
                Some(known) => known.digest.clone(),
                None => reader.cache.digest(&stamp)?,
            };
            Ok(source)
        };
        location::list(root, self.spec, self.source, reader.interval)?.files.iter().map(version).collect()
    }
}

impl Source for Files<'_> {
    fn tables(&self) -> Vec<&TableSpec> {
        vec![self.spec]
    }

    fn costly(&self) -> bool {
        false
    }

    fn describe<'a>(&'a self, reader: Reader<'a>, _: &'a TableSpec, _: bool) -> Task<'a, Option<LazyFrame>> {
        Box::pin(async move { self.described(reader).map(Some) })
    }

    fn versions<'a>(
        &'a self,
        reader: Reader<'a>,
        recorded: &'a [fingerprint::Source],
        _: &'a mut Sessions,
    ) -> Task<'a, Vec<fingerprint::Source>> {
        Box::pin(async move { self.current(reader, recorded) })
    }

    fn open<'a: 's, 's>(&'a self, reader: Reader<'a>, _: &'s mut Sessions) -> Task<'s, Box<dyn Opened + 'a>> {
        Box::pin(async move {
            let Reader { project, job, interval, cache, .. } = reader;
            job.require_own_file(self.spec, interval)?;
            let listing = location::list(&project.root, self.spec, self.source, interval)?;
            let scan = scan(&project.root, self.spec, self.source, &listing, interval, cache)?;
            Ok(Box::new(OpenFiles { spec: self.spec, scan }) as Box<dyn Opened + 'a>)
        })
    }
}

impl Opened for OpenFiles<'_> {
    fn tables(&self) -> Result<Vec<(String, LazyFrame)>> {
        Ok(vec![(self.spec.name.clone(), self.scan.frame.clone())])
    }

    fn read<'a>(
        self: Box<Self>,
        driving: Option<&'a str>,
        _: &'a mut Sessions,
        extraction: &'a mut Extraction,
    ) -> Task<'a, ()>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let OpenFiles { spec, scan } = *self;
            let table::Scan { frame, pieces, inputs, warnings, temporary } = scan;
            if driving == Some(spec.name.as_str()) {
                extraction.pieces = pieces;
            }
            extraction.warnings.extend(warnings);
            extraction.inputs.extend(inputs);
            extraction.temporary.extend(temporary);
            extraction.tables.push((spec.name.clone(), frame));
            Ok(())
        })
    }
}
