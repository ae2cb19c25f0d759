//! What the sources of an interval are now, found out with as little reading as possible: a file with the size and the
//! time that were recorded is taken for the same file; rows of a query are compared only when asked for.

use super::queries::session::Sessions;
use super::source::Reader;
use super::sources;
use crate::error::Result;
use crate::fingerprint::Source;
use crate::project::Job;

/// The sources of an interval: those whose versions are cheap to tell, and the others as recorded or, when `deep`, as they
/// are now.
pub async fn current(
    reader: Reader<'_>,
    recorded: &[Source],
    sessions: &mut Sessions,
    deep: bool,
) -> Result<Vec<Source>> {
    let mut current = Vec::new();
    for source in sources::of(reader.job) {
        if source.costly() && !deep {
            let tables = source.tables();
            current.extend(recorded.iter().filter(|r| tables.iter().any(|spec| spec.name == r.table)).cloned());
        } else {
            current.extend(source.versions(reader, recorded, sessions).await?);
        }
    }
    Ok(current)
}

/// Whether some of a job's rows are compared only when asked for.
pub fn some_are_costly(job: &Job) -> bool {
    sources::of(job).iter().any(|source| source.costly())
}
