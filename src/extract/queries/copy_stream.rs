//! A query's rows on their way in by binary COPY: a task moves bytes from the socket, a thread decodes them, and chunks
//! of rows wait in a short queue. Who takes them may keep them all, or work on each as it comes; a full queue makes the
//! server wait, so that memory holds a few chunks of a table of any size.

use std::time::{Duration, Instant};

use futures_util::{FutureExt, TryStreamExt};
use polars::prelude::DataFrame;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::session::{LOOK_UP_EVERY, Session, attended, source_error, stopped};
use crate::arrow_bridge;
use crate::error::{Class, Error, Result};
use crate::extract::chunk::chunk_rows;
use crate::failpoints;
use crate::postgres::decode::{Decoder, Wire};
use crate::postgres::liveness::SILENCE;
use crate::progress::{Counter, Progress};

/// Bytes handed from the socket to the decoder at a time.
fn chunk_bytes() -> usize {
    failpoints::limit("CHUNK_BYTES", 1 << 20)
}

/// Bytes of rows after which a chunk is handed on, however few they are.
const LARGEST_CHUNK: usize = 32 << 20;
/// What is known of a table when its last row has come.
#[derive(Debug)]
pub struct Arrived {
    pub rows: u64,
    /// Of all rows, whatever their order.
    pub digest: String,
    /// How long the server and the network took, without the time in which they waited for us.
    pub busy: Duration,
}

/// A COPY under way. Dropped before its end, it closes the session.
pub struct CopyStream {
    chunks: Option<mpsc::Receiver<DataFrame>>,
    read_loop: JoinHandle<Result<(Session, Duration)>>,
    decoder: JoinHandle<Result<(u64, String)>>,
}

impl Drop for CopyStream {
    fn drop(&mut self) {
        self.read_loop.abort();
    }
}

impl CopyStream {
    /// Begins to run `copy`, whose rows have these columns. If it is the `last` query of its snapshot, the snapshot ends
    /// with it.
    pub fn start(
        session: Session,
        (copy, last): (String, bool),
        columns: Vec<(String, Wire)>,
        progress: &Progress,
    ) -> CopyStream {
        let (bytes, received) = mpsc::channel::<Vec<u8>>(4);
        let (sender, chunks) = mpsc::channel::<DataFrame>(1);
        let (seen, progress) = (progress.extracted.clone(), progress.clone());
        let decoder = tokio::task::spawn_blocking(move || decode(received, &columns, &seen, &sender));
        let read_loop = tokio::spawn(async move { read_loop(session, (&copy, last), bytes, &progress).await });
        CopyStream { chunks: Some(chunks), read_loop, decoder }
    }

    /// The next chunk; none when the last has come or something failed, which [`CopyStream::finish`] tells apart. A table
    /// without rows is one chunk without rows.
    pub async fn next(&mut self) -> Option<DataFrame> {
        match &mut self.chunks {
            Some(chunks) => chunks.recv().await,
            None => None,
        }
    }

    /// The queue itself, for a thread that takes what is left.
    pub fn queue(&mut self) -> Option<mpsc::Receiver<DataFrame>> {
        self.chunks.take()
    }

    /// Whether every row came, and the session, which can be used again.
    pub async fn finish(mut self) -> Result<(Session, Arrived)> {
        self.chunks = None;
        let stopped = |e: tokio::task::JoinError| match e.try_into_panic() {
            Ok(panic) => crate::caught(&*panic),
            Err(e) => Error::defect("the decoder stopped").cause(e),
        };
        let decoded = (&mut self.decoder).await.map_err(stopped)?;
        let sent = (&mut self.read_loop).await.map_err(stopped)?;
        // A decoding error closes the channel, so it is the cause and the read loop's error its effect.
        match (decoded, sent) {
            (Err(error), Ok(_)) => Err(error),
            (Err(decode), Err(send)) => Err(if send.class == Class::Defect { decode } else { send }),
            (Ok(_), Err(error)) => Err(error),
            (Ok((rows, digest)), Ok((session, busy))) => Ok((session, Arrived { rows, digest, busy })),
        }
    }
}

/// Moves bytes from the socket to the decoder, a chunk at a time.
async fn read_loop(
    mut session: Session,
    (copy, last): (&str, bool),
    sender: mpsc::Sender<Vec<u8>>,
    progress: &Progress,
) -> Result<(Session, Duration)> {
    let (connection, backend) = &mut session;
    let (started, mut waited) = (Instant::now(), Duration::ZERO);
    let mut stream = attended(connection.copy_out_raw(copy), backend, progress).await?;
    let chunk_bytes = chunk_bytes();
    let mut chunk = Vec::with_capacity(chunk_bytes + 4096);
    let gone = || Error::defect("the decoder went away");
    let mut heard = Instant::now();
    loop {
        // A row that is here already is taken without setting a timer: there are millions.
        let next = match stream.try_next().now_or_never() {
            Some(next) => Ok(next),
            None => {
                let next = tokio::time::timeout(LOOK_UP_EVERY, stream.try_next()).await;
                if next.is_ok() {
                    heard = Instant::now();
                }
                next
            }
        };
        // A query may think for long before its first row; a signal must not wait for it. Giving up here loses a
        // read-only connection and nothing else.
        let bytes = match next {
            Err(_) => {
                stopped(backend, progress).await?;
                if sender.is_closed() {
                    return Err(gone());
                }
                if heard.elapsed() > SILENCE {
                    if backend.at_work().await != Some(true) {
                        let text = "the server fell silent in the middle of a table, and is not at work on it";
                        return Err(Error::new(Class::Unavailable, text).transient());
                    }
                    heard = Instant::now();
                }
                continue;
            }
            Ok(next) => match next.map_err(|e| source_error(&e))? {
                Some(bytes) => bytes,
                None => break,
            },
        };
        chunk.extend_from_slice(&bytes);
        if chunk.len() >= chunk_bytes {
            progress.check()?;
            let at = Instant::now();
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(chunk_bytes + 4096));
            sender.send(full).await.map_err(|_| gone())?;
            heard = Instant::now();
            waited += heard - at;
        }
    }
    drop(stream);
    sender.send(chunk).await.map_err(|_| gone())?;
    // The decoder need not wait for what follows.
    drop(sender);
    if last {
        // The load may go on for long, and needs the snapshot no more. A session that is lost now has done its work.
        let _ = attended(sqlx::query("COMMIT").execute(&mut *connection), backend, progress).await;
    }
    Ok((session, started.elapsed().saturating_sub(waited)))
}

/// Decodes until the stream ends, or until nobody takes the chunks any more.
fn decode(
    mut received: mpsc::Receiver<Vec<u8>>,
    columns: &[(String, Wire)],
    seen: &Counter,
    chunks: &mpsc::Sender<DataFrame>,
) -> Result<(u64, String)> {
    let mut decoder = Decoder::new(columns);
    let mut rows = 0;
    let mut hand_on = |decoder: &mut Decoder| -> Result<()> {
        rows += decoder.rows() as u64;
        let chunk = arrow_bridge::to_frame(&decoder.batch()?)?;
        chunks.blocking_send(chunk).map_err(|_| Error::defect("nobody takes the rows of a table"))
    };
    let (mut sent, mut held) = (false, 0);
    let chunk_rows = chunk_rows();
    while let Some(bytes) = received.blocking_recv() {
        let before = decoder.rows();
        decoder.push(&bytes)?;
        seen.add((decoder.rows() - before) as u64);
        held += bytes.len();
        if decoder.rows() >= chunk_rows || (held >= LARGEST_CHUNK && decoder.rows() > 0) {
            hand_on(&mut decoder)?;
            (sent, held) = (true, 0);
        }
    }
    decoder.finish()?;
    if decoder.rows() > 0 || !sent {
        hand_on(&mut decoder)?;
    }
    Ok((rows, decoder.digest().hex()))
}
