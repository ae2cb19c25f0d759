//! Where a flow's rows go, and the one loop that takes them there: every batch in order, its part of the evidence added, the
//! batch written.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::evidence::{Evidence, Looks};
use super::flow::{BatchSource, Finished, Flow, Stop, Work};
use super::report::RunReport;
use crate::error::Result;
use crate::failpoints;
use crate::load::Load;
use crate::warehouse::Rows;

/// Takes finished batches, in order. Nothing of them is visible until the sink is finished.
pub trait Sink {
    /// The stage that its time belongs to.
    const STAGE: &'static str;

    fn take(&mut self, finished: &Finished) -> impl Future<Output = Result<()>>;
}

impl Sink for Load {
    const STAGE: &'static str = "load";

    async fn take(&mut self, finished: &Finished) -> Result<()> {
        self.write(Rows { batch: &finished.batch, tuples: &finished.tuples }).await?;
        failpoints::at("batch-loaded");
        Ok(())
    }
}

/// Runs the flow into a sink. The report is told what came of it.
pub async fn drain<S: Sink>(
    work: Work,
    source: BatchSource,
    sink: &mut S,
    report: &mut RunReport,
) -> std::result::Result<Evidence, Stop> {
    let (looks, progress): (Arc<Looks>, _) = (work.looks.clone(), work.progress.clone());
    let mut flow = Flow::start(work, source);
    let mut evidence = Evidence::new(looks);
    let mut writing = 0.0;
    while let Some(mut finished) = flow.next().await? {
        progress.check().map_err(Stop::Other)?;
        evidence.add(std::mem::take(&mut finished.partial)).map_err(Stop::Other)?;
        let at = Instant::now();
        sink.take(&finished).await.map_err(Stop::Other)?;
        writing += at.elapsed().as_secs_f64();
        progress.loaded.add(finished.batch.num_rows() as u64);
    }
    progress.check().map_err(Stop::Other)?;
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    report.stage("transform", seconds(flow.busy.transform.load(Ordering::Relaxed)));
    report.stage("score", seconds(flow.busy.score.load(Ordering::Relaxed)));
    report.stage(S::STAGE, writing);
    report.tell(&evidence);
    Ok(evidence)
}
