//! Construct by construct: expressions over the small tables that Postgres is asked too, in two zones; what must be
//! refused or must raise; and what is said then.

use super::corpus::tables;
use super::{Cell, Server, ours, same_rows, types_of};
use crate::support::repository;

#[test]
fn every_construct_has_postgres_meaning() {
    let tables = tables();
    // Each line is a query, or an expression to select from orders.
    let lines = std::fs::read_to_string(repository().join("fixtures/sql/constructs.txt")).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for zone in ["UTC", "America/New_York"] {
        let mut server = Server::new(&tables, zone);
        for line in lines.lines() {
            let whole = line.starts_with("SELECT") || line.starts_with("WITH");
            let sql = if whole { line.to_owned() } else { format!("SELECT id, {line} AS x FROM orders") };
            count += 1;
            let theirs = |server: &mut Server, types: Option<&[polars::prelude::DataType]>| server.answer(&sql, types);
            match ours(&sql, &tables, zone) {
                Err(refusal) => wrong.push(format!(
                    "{sql}\n  refused: {}\n  Postgres: {:?}",
                    refusal.said,
                    theirs(&mut server, None).map(|a| a.rows)
                )),
                Ok(mine) => match theirs(&mut server, types_of(&sql, &tables, zone).as_deref()) {
                    Err(error) => wrong.push(format!("{sql}\n  Postgres: {error}\n  ours: {:?}", mine.rows.first())),
                    Ok(answer) if mine.names != answer.names => {
                        wrong.push(format!("{sql}\n  names {:?} {:?}", mine.names, answer.names))
                    }
                    Ok(answer) if !same_rows(&mine.rows, &answer.rows) => {
                        let lone = |a: &[Vec<Cell>], b: &[Vec<Cell>]| -> Vec<Vec<Cell>> {
                            a.iter()
                                .filter(|x| {
                                    !b.iter().any(|y| same_rows(std::slice::from_ref(x), std::slice::from_ref(y)))
                                })
                                .take(4)
                                .cloned()
                                .collect()
                        };
                        wrong.push(format!(
                            "{zone} {sql}\n  ours     {:?}\n  Postgres {:?}",
                            lone(&mine.rows, &answer.rows),
                            lone(&answer.rows, &mine.rows)
                        ));
                    }
                    Ok(_) => {}
                },
            }
        }
    }
    assert!(count > 600);
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_postgres_refuses_or_raises_is_refused_or_raises() {
    let tables = tables();
    let mut server = Server::new(&tables, "UTC");
    for (sql, says) in [
        ("SELECT -2147483648 - 1 AS x", "integer out of range"),
        ("SELECT 1e300::float8::real AS x", "out of range"),
        ("SELECT id FROM orders GROUP BY -1", "position"),
        ("WITH a AS (SELECT '5' AS x) SELECT x + 1 AS y FROM a", "no operator text + integer"),
        ("SELECT id FROM (SELECT id FROM orders)", "must have a name"),
        ("SELECT id AS 'x' FROM orders", "single quotes"),
        ("SELECT id == 1 AS x FROM orders", "no operator =="),
        ("SELECT 1_000 AS x", "no underscores"),
        ("SELECT 0x1F AS x", "not supported"),
        ("SELECT 12ab", "letters behind a number"),
        ("SELECT id FROM orders WHERE qty", "WHERE needs a condition"),
        ("SELECT id + status AS x FROM orders", "no operator bigint + text"),
        ("SELECT id FROM orders WHERE status = 5", "no operator text = integer"),
        ("SELECT id FROM orders WHERE paid = 1", "no operator boolean = integer"),
        ("SELECT due > 5 AS x FROM orders", "no operator date > integer"),
        ("SELECT COALESCE(qty, 'none') AS x FROM orders", "invalid input syntax for type bigint"),
        ("SELECT COALESCE(qty, status) AS x FROM orders", "mixes bigint and text"),
        ("SELECT CASE WHEN paid THEN qty ELSE status END AS x FROM orders", "mixes bigint and text"),
        ("SELECT CAST(5 AS DATE) AS x", "cannot be cast"),
        ("SELECT COUNT(*) AS n, status FROM orders", "must stand in GROUP BY"),
        ("SELECT status FROM orders GROUP BY qty", "must stand in GROUP BY"),
        ("SELECT id FROM orders WHERE COUNT(*) > 1", "aggregate cannot stand in WHERE"),
        ("SELECT SUM(COUNT(*)) AS x FROM orders", "aggregate cannot stand in the argument"),
        ("SELECT id FROM orders WHERE ROW_NUMBER() OVER () = 1", "window function cannot stand in WHERE"),
        ("SELECT RANK() AS r FROM orders", "needs OVER"),
        ("SELECT id FROM orders HAVING id > 1", "must stand in GROUP BY"),
        ("SELECT nope FROM orders", "no column nope"),
        ("SELECT o.nope FROM orders AS o", "no column o.nope"),
        ("SELECT orders.id FROM orders AS o", "no table orders in FROM"),
        ("SELECT id FROM nowhere", "no table nowhere"),
        ("SELECT nofunction(id) AS x FROM orders", "no function nofunction(bigint)"),
        ("SELECT UPPER(id) AS x FROM orders", "no function upper(bigint)"),
        ("SELECT id FROM orders, orders", "more than once"),
        ("SELECT customer_id FROM orders JOIN customers ON TRUE", "ambiguous"),
        ("SELECT id FROM orders UNION SELECT id, qty FROM orders", "columns"),
        ("SELECT id FROM orders ORDER BY 3", "position 3"),
        ("SELECT DISTINCT status FROM orders ORDER BY id", "must be in the select list"),
        ("SELECT (SELECT id, qty FROM orders) AS x", "columns"),
        ("SELECT id FROM orders LIMIT -1", "must not be negative"),
        ("SELECT EXTRACT(fortnight FROM due) AS x FROM orders", "no field"),
        ("SELECT DATE_TRUNC('fortnight', due) AS x FROM orders", "no unit"),
        ("SELECT placed_at AT TIME ZONE 'Mars/Base' AS x FROM orders", "time zone"),
        ("SELECT DATE '2024-02-30' AS x", "out of range"),
        ("SELECT INTERVAL 'soon' + due AS x FROM orders", "invalid input syntax for type interval"),
        ("SELECT note ~ '(' AS x FROM orders", "pattern"),
        ("SELECT id FROM orders WHERE", "xpected"),
        ("SELECT id, FROM orders", "xpected"),
        ("SELECT PERCENTILE_CONT(1.5) WITHIN GROUP (ORDER BY qty) AS x FROM orders", "between 0 and 1"),
        (
            "SELECT LAG(qty) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND 1 PRECEDING) AS x FROM orders",
            "end before it begins",
        ),
        ("SELECT 1 / 0 AS x FROM orders", "division by zero"),
        ("SELECT 10 / (qty - qty) AS x FROM orders", "division by zero"),
        ("SELECT qty % 0 AS x FROM orders", "division by zero"),
        ("SELECT amount / 0 AS x FROM orders", "division by zero"),
        ("SELECT big + big AS x FROM orders", "bigint out of range"),
        ("SELECT CAST(big AS INTEGER) AS x FROM orders", "integer out of range"),
        ("SELECT CAST(id AS SMALLINT) * CAST(10000 AS SMALLINT) AS x FROM orders", "smallint out of range"),
        ("SELECT 2147483647 + 1 AS x", "integer out of range"),
        ("SELECT CAST(2147483647 + CAST(1 AS INTEGER) AS BIGINT) AS x", "integer out of range"),
        ("SELECT ABS(big) AS x FROM orders WHERE id = 2", "out of range"),
        ("SELECT CAST(status AS BIGINT) AS x FROM orders", "invalid input syntax for type bigint"),
        ("SELECT SQRT(-1.0 * qty) AS x FROM orders WHERE qty > 0", "square root"),
        ("SELECT LN(qty - qty) AS x FROM orders", "logarithm"),
        ("SELECT EXP(1000.0 * 10::float8) AS x FROM orders", "out of range"),
        ("SELECT 1e200::float8 * 1e200::float8 AS x FROM orders", "out of range"),
        ("SELECT SPLIT_PART(note, ',', 0) AS x FROM orders", "must not be zero"),
        ("SELECT CHR(0) AS x FROM orders", "null character"),
        ("SELECT MAKE_DATE(2024, 2, 30) AS x FROM orders", "out of range"),
        ("SELECT NTILE(0) OVER (ORDER BY id) AS x FROM orders", "greater than zero"),
        ("SELECT id FROM orders WHERE qty = (SELECT n FROM events)", "more than one row"),
        ("SELECT CAST(amount AS NUMERIC(3, 1)) AS x FROM orders", "overflow"),
        ("SELECT CAST('2024-13-01' AS DATE) AS x FROM orders", "out of range"),
        ("SELECT MAKE_TIMESTAMP(5000000, 1, 1, 0, 0, 0) AS x", "out of range"),
        ("SELECT placed_at + INTERVAL '9999999999999999 hours' AS x FROM orders", "out of range"),
        ("SELECT placed_at + INTERVAL '9999999999999999:00:00' AS x FROM orders", "out of range"),
        ("SELECT placed_at + INTERVAL '9223372036854775807 us 1 us' AS x FROM orders", "out of range"),
        ("SELECT due + INTERVAL '3000000000 days' AS x FROM orders", "out of range"),
        ("SELECT due + INTERVAL '1 month' * 9223372036854775807 AS x FROM orders", "out of range"),
        ("SELECT DATE_BIN('200000000 days', placed_at, placed_at) AS x FROM orders", "stride"),
    ] {
        let refusal = ours(sql, &tables, "UTC").map(|a| a.rows).expect_err(sql);
        assert!(refusal.said.contains(says), "{sql}\nsays {:?}\nnot  {says:?}", refusal.said);
        assert!(refusal.said.contains("q.sql"), "{sql}: {}", refusal.said);
        assert!(!refusal.said.contains("panicked"), "{sql}: {}", refusal.said);
        let theirs = server.answer(sql, None);
        assert!(theirs.is_err(), "Postgres answers {sql}: {theirs:?}");
    }
}

#[test]
fn a_refusal_shows_the_place() {
    let refusal = ours("SELECT id,\n       qty + nope AS x\nFROM orders", &tables(), "UTC").unwrap_err();
    assert_eq!(refusal.said, "q.sql:2:14: there is no column nope\n           qty + nope AS x\n                 ^");
    let raised = ours("SELECT id,\n  100 / qty AS x\nFROM orders", &tables(), "UTC").unwrap_err();
    assert_eq!(raised.said, "q.sql:2:9: division by zero\n      100 / qty AS x\n            ^");
}
