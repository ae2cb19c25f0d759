//! The profiles of published intervals, as the ledger keeps them.

use super::{Db, RowsOf, Value};
use crate::digest;
use crate::error::{Error, Result};
use crate::quality::profile::{Distribution, Side, StoredProfile};

/// Rows of one statement: each has 25 parameters, of which SQLite takes 32,766.
const ROWS: usize = 500;
const QUANTILES: [&str; 7] = ["q01", "q05", "q25", "q50", "q75", "q95", "q99"];
const COUNTS: &str = "n, nulls, nans, infinities, zeros, distinct_words";
const MOMENTS: [&str; 4] = ["min_value", "max_value", "mean", "squares"];

/// The profile of a column of an interval that stands.
#[derive(Clone, Debug)]
pub struct IntervalProfile {
    pub start: String,
    pub end: String,
    pub label: String,
    pub run_id: String,
    pub model: Option<String>,
    pub profile: StoredProfile,
}

/// Inside the load transaction: puts the profiles of the rows in the place of those of the rows before.
pub async fn replace(db: &mut Db, of: RowsOf<'_>, profiles: &[StoredProfile]) -> Result<()> {
    let sql = "DELETE FROM {profiles} WHERE job = $1 AND interval_start = $2 AND interval_end = $3";
    db.execute(sql, of.interval).await?;
    for some in profiles.chunks(ROWS) {
        let mut values: Vec<Value> = Vec::new();
        let mut rows: Vec<String> = Vec::new();
        for profile in some {
            let from = values.len();
            values.extend(of.interval.iter().cloned());
            values.extend(row(of, profile));
            let parameters: Vec<String> = (from + 1..=values.len()).map(|i| format!("${i}")).collect();
            rows.push(format!("({})", parameters.join(", ")));
        }
        let sql = format!(
            "INSERT INTO {{profiles}} (job, interval_start, interval_end, side, column_name, slice, run_id, model, {COUNTS}, {}, {}, \
             distribution) VALUES {}",
            MOMENTS.join(", "),
            QUANTILES.join(", "),
            rows.join(", ")
        );
        db.execute(&sql, &values).await?;
    }
    Ok(())
}

/// What follows the interval in a row of the table.
fn row(of: RowsOf<'_>, profile: &StoredProfile) -> Vec<Value> {
    let optional = |text: Option<&str>| text.map_or(Value::Null, Value::from);
    let mut values: Vec<Value> =
        vec![profile.side.name().into(), profile.name.as_str().into(), "".into(), of.run_id.into(), optional(of.model)];
    let counts = [profile.rows, profile.nulls, profile.nans, profile.infinities, profile.zeros];
    values.extend(counts.map(|count| Value::Int(count as i64)));
    values.push(Value::Whole(profile.distinct.map(|distinct| distinct as i64)));
    values.extend([profile.min, profile.max, profile.mean, profile.squares].map(Value::Real));
    let quantile = |at: usize| profile.quantiles.get(at).map(|quantile| f64::from(*quantile));
    values.extend((0..QUANTILES.len()).map(|at| Value::Real(quantile(at))));
    values.push(optional(profile.written().as_deref()));
    values
}

/// The profiles of a job's published intervals that begin in `from..to` (both as the ledger writes instants), those of one
/// column when it is named; oldest first.
pub async fn of_job(
    db: &mut Db,
    job: &str,
    (from, to): (&str, &str),
    column: Option<&str>,
) -> Result<Vec<IntervalProfile>> {
    let exact = db.dialect();
    let numbers: Vec<String> = MOMENTS.iter().chain(&QUANTILES).map(|name| exact.exact(&format!("p.{name}"))).collect();
    let counts: Vec<String> = COUNTS.split(", ").map(|name| format!("CAST(p.{name} AS TEXT)")).collect();
    let sql = format!(
        "SELECT p.interval_start, p.interval_end, i.label, p.run_id, p.model, p.side, p.column_name, p.distribution, {}, {} \
         FROM {{profiles}} p JOIN {{intervals}} i ON i.job = p.job AND i.interval_start = p.interval_start \
         AND i.interval_end = p.interval_end AND i.run_id = p.run_id \
         WHERE p.job = $1 AND p.interval_start >= $2 AND p.interval_start < $3 AND p.slice = '' AND ($4 = '' OR p.column_name = $4) \
         ORDER BY p.interval_start, p.side, p.column_name",
        counts.join(", "),
        numbers.join(", ")
    );
    let rows = db.fetch(&sql, &[job.into(), from.into(), to.into(), column.unwrap_or_default().into()]).await?;
    rows.into_iter().map(|row| read(row).ok_or_else(|| broken(job))).collect()
}

/// The profiles of one interval, given by its job, start and end.
pub async fn of_interval(db: &mut Db, (job, start, end): &(String, String, String)) -> Result<Vec<StoredProfile>> {
    // Intervals of one job do not overlap.
    let all = of_job(db, job, (start, end), None).await?;
    Ok(all.into_iter().map(|of| of.profile).collect())
}

/// Where the newest so many intervals with profiles begin, of those that begin before an instant; none when there is none.
pub async fn newest(db: &mut Db, job: &str, before: &str, most: usize) -> Result<Option<String>> {
    let sql = format!(
        "SELECT MIN(s) FROM (SELECT DISTINCT p.interval_start AS s FROM {{profiles}} p WHERE p.job = $1 AND p.interval_start < $2 \
         ORDER BY s DESC LIMIT {most}) newest"
    );
    let rows = db.fetch(&sql, &[job.into(), before.into()]).await?;
    Ok(rows.into_iter().next().and_then(|mut row| row[0].take()))
}

fn broken(job: &str) -> Error {
    Error::data(format!("the ledger's profiles of {job} are not what any run wrote")).hint("run: daymill ledger verify")
}

fn read(row: Vec<Option<String>>) -> Option<IntervalProfile> {
    let mut row = row.into_iter();
    let mut next = || row.next().flatten();
    let (start, end, label, run_id, model) = (next()?, next()?, next()?, next()?, next());
    let (side, name, distribution) = (next()?, next()?, next());
    let side = Side::ALL.into_iter().find(|known| known.name() == side)?;
    let mut count = || next()?.parse::<u64>().ok();
    let (rows, nulls, nans, infinities, zeros, distinct) = (count()?, count()?, count()?, count()?, count()?, count());
    let mut real = || next()?.parse::<f64>().ok().filter(|value| value.is_finite());
    let (min, max, mean, squares) = (real(), real(), real(), real());
    let quantiles = QUANTILES.iter().map_while(|_| real()).map(|value| value as f32).collect();
    let distribution = match distribution {
        None => Distribution::None,
        Some(text) => Distribution::read(&text)?,
    };
    let profile = StoredProfile {
        side,
        name,
        rows,
        nulls,
        nans,
        infinities,
        zeros,
        distinct,
        min,
        max,
        mean,
        squares,
        quantiles,
        distribution,
    };
    profile.is_sound().then_some(IntervalProfile { start, end, label, run_id, model, profile })
}

/// What the chain says of the profiles of an interval.
pub fn digest(profiles: &[StoredProfile]) -> String {
    let bits = |value: &Option<f64>| value.map_or_else(String::new, |value| format!("{:016x}", value.to_bits()));
    let line = |profile: &StoredProfile| {
        let StoredProfile { rows, nulls, nans, infinities, zeros, .. } = profile;
        let moments = [profile.min, profile.max, profile.mean, profile.squares];
        let quantiles: Vec<String> = profile.quantiles.iter().map(|value| format!("{:08x}", value.to_bits())).collect();
        format!(
            "{}\t{}\t{rows} {nulls} {nans} {infinities} {zeros} {}\t{}\t{}\t{}",
            profile.side.name(),
            profile.name,
            profile.distinct.map_or_else(String::new, |distinct| distinct.to_string()),
            moments.iter().map(bits).collect::<Vec<_>>().join(" "),
            quantiles.join(" "),
            profile.written().unwrap_or_default(),
        )
    };
    let mut lines: Vec<String> = profiles.iter().map(line).collect();
    lines.sort();
    digest::hex(lines.join("\n").as_bytes())
}
