//! Queries of unusual size are planned and run: no stack ends, nothing takes time that grows faster than the query.

use super::generator::tables;
use super::{Answer, Cell, Server, agree, ours};

fn one(sql: &str) -> Cell {
    let answer: Answer = ours(sql, &tables(), "UTC").unwrap_or_else(|r| panic!("{}", r.said));
    answer.rows[0][0].clone()
}

fn repeated(first: &str, more: impl Fn(usize) -> String, n: usize) -> String {
    let mut text = first.to_owned();
    (0..n).for_each(|i| text.push_str(&more(i)));
    text
}

#[test]
fn ten_thousand_terms_are_a_query() {
    let sum = repeated("t.id", |i| format!(" {} {i}", if i % 2 == 0 { "+" } else { "-" }), 10_000);
    assert_eq!(one(&format!("SELECT {sum} AS x FROM t WHERE t.id = 7")), Cell::Int(7 - 5_000));
    let product = repeated("t.id", |i| format!(" * {}", 1 + i % 2 - i % 2), 10_000);
    assert_eq!(one(&format!("SELECT {product} AS x FROM t WHERE t.id = 7")), Cell::Int(7));
    let or = repeated("t.v = 1000", |i| format!(" OR t.v = {}", 1001 + i), 10_000);
    assert_eq!(one(&format!("SELECT COUNT(*) AS n FROM t WHERE {or}")), Cell::Int(0));
    let and = repeated("t.id < 1000", |i| format!(" AND t.id < {}", 1001 + i), 10_000);
    assert_eq!(one(&format!("SELECT COUNT(*) AS n FROM t WHERE {and}")), Cell::Int(60));
    let text = repeated("'a'", |_| " || t.s".into(), 10_000);
    assert!(matches!(one(&format!("SELECT LENGTH({text}) AS n FROM t WHERE t.s = 'B' LIMIT 1")), Cell::Int(10_001)));
    let list = repeated("-1", |i| format!(", {}", 100_000 + i), 10_000);
    assert_eq!(
        one(&format!("SELECT COUNT(*) AS n FROM t WHERE t.v IN ({list})")),
        one("SELECT COUNT(*) AS n FROM t WHERE t.v = -1")
    );
    let mixed = repeated("t.id", |i| format!(" + t.v * 0 + 0.5 - {}", i % 3), 2_000);
    assert!(matches!(one(&format!("SELECT {mixed} AS x FROM t WHERE t.v = 1 LIMIT 1")), Cell::Float(_)));
}

#[test]
fn long_texts_many_parts_and_many_arms_are_a_query() {
    let long = "x".repeat(1 << 20);
    assert_eq!(one(&format!("SELECT LENGTH('{long}') AS n")), Cell::Int(1 << 20));
    assert_eq!(one(&format!("SELECT 1 AS n /* {long} */")), Cell::Int(1));
    let parts = repeated(
        "WITH c0 AS (SELECT id, v FROM t)",
        |i| format!(", c{} AS (SELECT id, v + 1 AS v FROM c{i})", i + 1),
        300,
    );
    assert_eq!(one(&format!("{parts} SELECT COUNT(*) AS n FROM c300")), Cell::Int(60));
    let doubled = repeated(
        "WITH c0 AS (SELECT 1 AS x)",
        |i| format!(", c{} AS (SELECT MAX(a.x) + MAX(b.x) AS x FROM c{i} AS a, c{i} AS b)", i + 1),
        40,
    );
    // Each part is named twice by the next: written out, there are 2^40 of them.
    let refusal = ours(&format!("{doubled} SELECT x FROM c40"), &tables(), "UTC").unwrap_err();
    assert!(refusal.planned && refusal.said.contains("too large"), "{}", refusal.said);
    let few = repeated(
        "WITH c0 AS (SELECT 1 AS x)",
        |i| format!(", c{} AS (SELECT MAX(a.x) + MAX(b.x) AS x FROM c{i} AS a, c{i} AS b)", i + 1),
        8,
    );
    assert_eq!(one(&format!("{few} SELECT x FROM c8")), Cell::Int(1 << 8));
    let arms = repeated("SELECT id FROM t", |_| " UNION ALL SELECT id FROM t".into(), 500);
    assert_eq!(one(&format!("SELECT COUNT(*) AS n FROM ({arms}) AS q")), Cell::Int(60 * 501));
    let branches = repeated("", |i| format!(" WHEN t.v = {} THEN {i}", 1000 + i), 1000);
    assert_eq!(one(&format!("SELECT SUM(CASE{branches} ELSE 1 END) AS n FROM t")), Cell::Int(60));
}

#[test]
fn long_conditions_that_can_raise_ask_only_the_rows_that_are_left() {
    let tables = tables();
    let mut server = Server::new(&tables, "UTC");
    let many =
        |n: usize, each: &dyn Fn(usize) -> String, between: &str| (0..n).map(each).collect::<Vec<_>>().join(between);
    let case = many(300, &|i| format!("WHEN t.v + {i} = 20 THEN 100 / (t.v + {})", 7 + i % 3), " ");
    let and = many(200, &|i| format!("(t.v = 0 OR 100 / t.v <> {})", 1000 + i), " AND ");
    let or = many(200, &|i| format!("t.v * {} = {}", i + 1, 17 * (i + 1)), " OR ");
    let coalesce = many(100, &|i| format!("NULLIF(t.v / {}, {})", i + 1, i), ", ");
    let greatest = many(900, &|i| format!("t.v * {i} % 11"), ", ");
    let words = many(400, &|i| format!("WHEN t.s || '{}' = 'ab{}' THEN t.d + {i}", i % 7, i % 7), " ");
    for sql in [
        format!("SELECT t.id, CASE WHEN t.v IN (-7, -8, -9) THEN -1 {case} ELSE t.v * 2 END AS x FROM t"),
        format!("SELECT t.id FROM t WHERE {and}"),
        format!("SELECT t.id, ({and}) AS x FROM t"),
        format!("SELECT t.id, ({or}) AS x FROM t"),
        format!("SELECT t.id, COALESCE({coalesce}, -5) AS x FROM t"),
        format!("SELECT t.id, GREATEST({greatest}) AS x, LEAST(CASE {words} END, t.d) AS y FROM t"),
    ] {
        agree(&sql, &tables, &mut server, "UTC");
    }
    // What the conditions leave open is asked, and raises.
    let raises =
        ours(&format!("SELECT CASE {case} ELSE t.v / (t.v - t.v) END AS x FROM t"), &tables, "UTC").unwrap_err();
    assert!(!raises.planned && raises.said.contains("division by zero"), "{}", raises.said);
}

#[test]
fn what_is_too_deep_is_refused_by_name() {
    for sql in [
        format!("SELECT {}1{} AS x", "(".repeat(3_000), ")".repeat(3_000)),
        format!("SELECT {}1 AS x{}", "(SELECT ".repeat(1_000), ")".repeat(1_000)),
        format!("SELECT {}TRUE AS x", "NOT ".repeat(100_000)),
        format!("SELECT {} 1 AS x", "-".repeat(3) + &"- ".repeat(50_000)),
    ] {
        let refusal = ours(&sql, &tables(), "UTC").err();
        assert!(refusal.is_none_or(|r| r.planned && r.said.len() < 1_000), "{}", &sql[..60]);
    }
}
