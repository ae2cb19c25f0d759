//! Drawn queries, asked of us and of Postgres. What disagrees is made smaller and printed with its seed.

use std::collections::BTreeMap;

use super::drawn::query;
use super::generator::{Node, tables};
use super::{Cell, Server, Table, ours, same_rows, types_of};

/// How many in a run of the tests. DAYMILL_SQL_QUERIES asks for more, DAYMILL_SQL_SEED begins elsewhere.
const QUERIES: u64 = 3000;

/// A deviation below this is nothing.
const DEVIATION: f64 = 1e-6;

/// Floats are added in an order that is nobody's: a deviation of values that are all the same is nothing or the noise of
/// rounding, and so is what is left of a sum of floats near 2^63 that cancel each other. Only the columns of such sums.
fn without_noise(sql: &str, names: &[String], rows: &[Vec<Cell>]) -> Vec<Vec<Cell>> {
    let mut from = 0;
    let limits: Vec<f64> = names
        .iter()
        .map(|name| {
            let item = sql[from..].find(&format!(" AS {name}")).map(|end| &sql[from..from + end]);
            from += item.map_or(0, str::len);
            let adds = |item: &&str| ["SUM(", "AVG(", "STDDEV("].iter().any(|call| item.contains(call));
            match item.filter(adds) {
                Some(item) if item.contains("CAST(t.big AS DOUBLE PRECISION)") => 1e6,
                Some(item) if item.contains("STDDEV(") => DEVIATION,
                _ => 0.0,
            }
        })
        .collect();
    let noise = |(cell, limit): (&Cell, &f64)| match cell {
        Cell::Float(v) if v.abs() < *limit => Cell::Float(0.0),
        // Of values that are large beside their deviation, few of its digits are left.
        Cell::Float(v) if *limit == DEVIATION => Cell::Float(format!("{v:.4e}").parse().unwrap()),
        other => other.clone(),
    };
    rows.iter().map(|row| row.iter().zip(&limits).map(noise).collect()).collect()
}

/// What is wrong with our answer to a query, if anything.
fn wrong(
    sql: &str,
    tables: &[Table],
    server: &mut Server,
    zone: &str,
    counts: &mut BTreeMap<&'static str, u64>,
) -> Option<String> {
    let mine = ours(sql, tables, zone);
    let types = mine.is_ok().then(|| types_of(sql, tables, zone).unwrap());
    let theirs = server.answer(sql, types.as_deref());
    let (outcome, wrong) = match (mine, theirs) {
        (Ok(mine), Ok(theirs))
            if same_rows(
                &without_noise(sql, &mine.names, &mine.rows),
                &without_noise(sql, &mine.names, &theirs.rows),
            ) =>
        {
            let names = (mine.names != theirs.names).then(|| format!("names {:?} and {:?}", mine.names, theirs.names));
            ("same", names)
        }
        (Ok(mine), Ok(theirs)) => {
            let only = |a: &[Vec<Cell>], b: &[Vec<Cell>]| -> Vec<Vec<Cell>> {
                a.iter()
                    .filter(|row| {
                        !b.iter().any(|other| same_rows(std::slice::from_ref(row), std::slice::from_ref(other)))
                    })
                    .take(3)
                    .cloned()
                    .collect()
            };
            let (a, b) = (only(&mine.rows, &theirs.rows), only(&theirs.rows, &mine.rows));
            (
                "different",
                Some(format!(
                    "{} and {} rows; only ours: {a:?}, only Postgres': {b:?}",
                    mine.rows.len(),
                    theirs.rows.len()
                )),
            )
        }
        // A value that only Postgres computes: it asks rows or branches in an order of its own.
        (Ok(_), Err(error)) if error.starts_with("22") => ("only Postgres raises", None),
        (Ok(mine), Err(error)) => {
            ("accepted", Some(format!("Postgres refuses: {error}; ours: {:?}", mine.rows.first())))
        }
        (Err(refusal), Err(error)) if !refusal.planned && !error.starts_with("22") && !error.starts_with("21") => {
            ("raises for another reason", Some(format!("Postgres: {error}; ours: {}", refusal.said)))
        }
        (Err(_), Err(_)) => ("both refuse", None),
        (Err(refusal), Ok(_)) if refusal.planned => ("refused", Some(format!("refused: {}", refusal.said))),
        // Postgres skips what it need not compute, in an order of its own: a subquery for no rows, a part of a sum that is
        // NULL anyway. Such an error publishes nothing; there may be few of them.
        (Err(refusal), Ok(_))
            if ["division by zero", "out of range", "more than one row"].iter().any(|w| refusal.said.contains(w)) =>
        {
            ("only ours raises", None)
        }
        (Err(refusal), Ok(_)) => ("only ours breaks", Some(refusal.said)),
    };
    *counts.entry(outcome).or_default() += 1;
    wrong
}

/// The smallest query that still disagrees.
fn shrunk(mut node: Node, tables: &[Table], server: &mut Server, zone: &str) -> Node {
    for _ in 0..200 {
        let mut ways = node.smaller();
        ways.sort_by_key(|n| n.text().len());
        let length = node.text().len();
        let smaller = ways
            .into_iter()
            .filter(|n| n.text().len() < length)
            .find(|n| wrong(&n.text(), tables, server, zone, &mut BTreeMap::new()).is_some());
        match smaller {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}

#[test]
fn drawn_queries_have_postgres_answers() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (queries, first) = (number("DAYMILL_SQL_QUERIES", QUERIES), number("DAYMILL_SQL_SEED", 1));
    let tables = tables();
    let mut counts = BTreeMap::new();
    let mut report = Vec::new();
    for (n, zone) in ["UTC", "America/New_York"].into_iter().enumerate() {
        let mut server = Server::new(&tables, zone);
        for seed in (first..first + queries).filter(|seed| seed % 2 == n as u64) {
            let node = query(seed);
            if wrong(&node.text(), &tables, &mut server, zone, &mut counts).is_none() {
                continue;
            }
            let small = shrunk(node, &tables, &mut server, zone).text();
            let said = wrong(&small, &tables, &mut server, zone, &mut BTreeMap::new()).unwrap_or_default();
            // At once: a long run that is stopped has still told what it found.
            eprintln!("seed {seed}, {zone}: {small}\n    {said}");
            report.push(format!("seed {seed}, {zone}: {small}\n    {said}"));
            if report.len() > 25 {
                break;
            }
        }
    }
    println!("{queries} drawn queries from seed {first}: {counts:?}");
    assert!(report.is_empty(), "{} disagree\n{}", report.len(), report.join("\n"));
    let alone = counts.get("only ours raises").copied().unwrap_or(0);
    assert!(alone * 200 <= queries, "{alone} of {queries} raise where Postgres does not: {counts:?}");
    // Queries that always raise would agree too.
    let same = counts.get("same").copied().unwrap_or(0);
    assert!(same * 2 > queries, "only {same} of {queries} gave rows: {counts:?}");
}

/// The same over morsels of eight rows: nothing may depend on how the engine cuts a table.
#[test]
fn drawn_queries_do_not_depend_on_how_tables_are_cut() {
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["sql::generated::drawn_queries_have_postgres_answers", "--exact", "--nocapture"])
        .env("POLARS_IDEAL_MORSEL_SIZE", "8")
        .env("DAYMILL_SQL_QUERIES", "800")
        .env("DAYMILL_SQL_SEED", "100001")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    assert!(said.contains("800 drawn queries"), "{said}");
}
