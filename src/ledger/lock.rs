//! The lock of an interval, which dies with the process that holds it: an advisory lock of the loading session in
//! Postgres, a locked file beside a SQLite database.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::Utc;
use serde::Serialize;

use super::Db;
use crate::error::{Class, Error, Result};
use crate::failpoints;
use crate::interval::{Interval, instant};
use crate::project::Project;

/// A server notices the end of a killed program within this time.
const UNNOTICED: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOOKS: usize = 2;

/// Who runs.
#[derive(Clone, Debug, Serialize)]
pub struct Holder {
    pub host: String,
    pub pid: u32,
}

impl Holder {
    pub fn this_process() -> Holder {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
        Holder { host: host.map_or_else(|| "unknown".into(), |h| h.trim().to_owned()), pid: std::process::id() }
    }
}

/// Holds an interval of a job until it is released, dropped, or the process dies.
pub enum Lock {
    /// Of the session that will load: it goes when the session goes.
    Session(i32, i32),
    File(#[allow(dead_code, reason = "held for its lock")] File),
}

/// Takes the interval, or says who has it.
pub async fn take(db: &mut Db, project: &Project, target: &str, job: &str, interval: &Interval) -> Result<Lock> {
    let (class, object) = key(job, &instant(interval.start), &instant(interval.end));
    match project.targets[target].ledger_file() {
        None => {
            let holder = Holder::this_process();
            let name = format!("daymill/{}:{}/{job}/{}", holder.host, holder.pid, interval.label());
            let name: String = name.chars().take(63).collect();
            if failpoints::sabotaged("no-lock") {
                return Ok(Lock::Session(class, object));
            }
            if failpoints::sabotaged("lock-apart") {
                let mut apart = super::connect(project, target, "daymill/apart", false).await?;
                apart.fetch(&format!("SELECT pg_advisory_lock({class}, {object})::text"), &[]).await?;
                std::mem::forget(apart);
                return Ok(Lock::Session(class, object));
            }
            let sql = format!(
                "SELECT pg_try_advisory_lock({class}, {object})::text, set_config('application_name', $1, false)"
            );
            let asked = Instant::now();
            loop {
                let taken = db.fetch(&sql, &[name.clone().into()]).await?;
                if taken.first().is_some_and(|row| row[0].as_deref() == Some("true")) {
                    return Ok(Lock::Session(class, object));
                }
                let who = session(db, class, object).await?;
                let gone = who.as_ref().is_none_or(|(name, _)| is_dead(name, &holder));
                if !gone || asked.elapsed() >= UNNOTICED {
                    return Err(locked(job, interval, who.map(|(name, since)| format!("{name}, since {since}"))));
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        Some(path) => take_file(path, job, (class, object), interval).await,
    }
}

/// The same beside a SQLite file.
async fn take_file(path: &Path, job: &str, (class, object): (i32, i32), interval: &Interval) -> Result<Lock> {
    let folder = folder(path)?;
    // Whoever may write the database may lock it, and nobody else.
    let group = std::fs::metadata(path).is_ok_and(|of| of.mode() & 0o020 != 0);
    let made = std::fs::DirBuilder::new().recursive(true).mode(if group { 0o770 } else { 0o700 }).create(&folder);
    made.map_err(|e| Error::io(&folder, "create", &e))?;
    let file = folder.join(file_name(job, class, object));
    // A link in its place would be written through.
    let mut options = File::options();
    options
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .mode(if group { 0o660 } else { 0o600 })
        .custom_flags(libc::O_NOFOLLOW);
    let mut handle = options.open(&file).map_err(|e| Error::io(&file, "open the lock", &e))?;
    // Somebody who only looks holds it for a moment.
    let mut taken = handle.try_lock();
    for _ in 0..LOOKS {
        if !matches!(taken, Err(TryLockError::WouldBlock)) {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        taken = handle.try_lock();
    }
    match taken {
        Ok(()) => {
            let holder = Holder::this_process();
            let text = format!("{}, pid {}, since {}\n", holder.host, holder.pid, instant(Utc::now()));
            handle
                .set_len(0)
                .and_then(|()| handle.write_all(text.as_bytes()))
                .map_err(|e| Error::io(&file, "write", &e))?;
            Ok(Lock::File(handle))
        }
        Err(TryLockError::WouldBlock) => {
            let mut who = String::new();
            let _ = handle.rewind().and_then(|()| handle.read_to_string(&mut who));
            Err(locked(job, interval, Some(who.trim().to_owned()).filter(|w| !w.is_empty())))
        }
        Err(TryLockError::Error(e)) => Err(Error::io(&file, "lock", &e)),
    }
}

/// The name of the session that holds a lock, and since when it is there.
async fn session(db: &mut Db, class: i32, object: i32) -> Result<Option<(String, String)>> {
    let sql = format!(
        "SELECT a.application_name, a.backend_start::text FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = {} AND l.objid::bigint = {} \
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        class as u32, object as u32
    );
    let text = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "?".into());
    Ok(db.fetch(&sql, &[]).await?.first().map(|row| (text(&row[0]), text(&row[1]))))
}

/// Whether a session of this name belongs to a process of this machine that has ended.
fn is_dead(name: &str, here: &Holder) -> bool {
    let place = name.strip_prefix("daymill/").and_then(|rest| rest.split('/').next());
    let Some((host, pid)) = place.and_then(|place| place.rsplit_once(':')) else { return false };
    let processes = Path::new("/proc");
    host == here.host
        && pid
            .parse::<u32>()
            .is_ok_and(|pid| processes.join("self").exists() && !processes.join(pid.to_string()).exists())
}

/// Gives an interval back on a session that goes on. An error means that the session is of no more use.
pub async fn release(db: &mut Db, lock: Lock) -> Result<()> {
    match lock {
        Lock::Session(class, object) => {
            db.fetch(&format!("SELECT pg_advisory_unlock({class}, {object})::text"), &[]).await.map(|_| ())
        }
        Lock::File(_) => Ok(()),
    }
}

fn locked(job: &str, interval: &Interval, who: Option<String>) -> Error {
    let who = who.unwrap_or_else(|| "another process".into());
    Error::new(Class::Locked, format!("{job} {} is being run by {who}", interval.label()))
        .hint("it is safe to try again later; `--wait 10m` waits for it")
}

/// Two 32-bit numbers that stand for a job's interval.
fn key(job: &str, start: &str, end: &str) -> (i32, i32) {
    let key = crate::digest::name(format!("{job}\0{start}\0{end}").as_bytes());
    (key as i32, (key >> 32) as i32)
}

/// Beside the file itself, whichever link led to it.
fn folder(database: &Path) -> Result<PathBuf> {
    let unresolved = |e: std::io::Error| Error::io(database, "find", &e);
    let real = database.canonicalize().map_err(unresolved)?;
    if real.metadata().map_err(unresolved)?.nlink() > 1 {
        return Err(Error::config(format!("{} is one of several names (hard links) of a file", real.display()))
            .cause("SQLite's journal and the locks of runs go by the name: two names would not see each other")
            .hint("keep one name, and make the others symbolic links"));
    }
    let mut folder = real.into_os_string();
    folder.push(".locks");
    Ok(PathBuf::from(folder))
}

fn file_name(job: &str, class: i32, object: i32) -> String {
    format!("{job}-{:08x}{:08x}", class as u32, object as u32)
}

/// Whether some process holds the interval now.
pub async fn is_held(
    db: &mut Db,
    project: &Project,
    target: &str,
    job: &str,
    (start, end): (&str, &str),
) -> Result<bool> {
    let (class, object) = key(job, start, end);
    match project.targets[target].ledger_file() {
        None => {
            let sql = format!(
                "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid::bigint = {} AND objid::bigint = {} \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                class as u32, object as u32
            );
            Ok(db.fetch(&sql, &[]).await?.first().is_some_and(|r| r[0].as_deref() != Some("0")))
        }
        Some(path) => {
            let file = folder(path)?.join(file_name(job, class, object));
            match File::open(file) {
                Ok(file) => Ok(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))),
                // Who may not look at the lock takes the ledger's word.
                Err(error) => Ok(error.kind() == std::io::ErrorKind::PermissionDenied),
            }
        }
    }
}
