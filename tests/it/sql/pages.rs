//! The examples of docs/sql.md: they give Postgres' rows, or are accepted by us alone, or are refused in the words that
//! stand below them.

use super::corpus::tables;
use super::{Server, agree, ours};
use crate::support::repository;

#[test]
fn the_examples_of_the_page_are_true() {
    let page = std::fs::read_to_string(repository().join("docs/sql.md")).unwrap();
    let tables = tables();
    let zone = "America/New_York";
    let mut server = Server::new(&tables, zone);
    let blocks: Vec<(&str, &str)> =
        page.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap()).collect();
    let mut counts = [0; 3];
    for (n, (kind, sql)) in blocks.iter().enumerate() {
        match *kind {
            "sql" => {
                agree(sql, &tables, &mut server, zone);
                counts[0] += 1;
            }
            "sql daymill" => {
                let answer = ours(sql, &tables, zone).unwrap_or_else(|r| panic!("{sql}: {}", r.said));
                assert!(!answer.names.is_empty());
                assert!(
                    server.answer(&sql.replace(":start", "TIMESTAMPTZ '2024-03-10'"), None).is_err(),
                    "Postgres has it: {sql}"
                );
                counts[1] += 1;
            }
            "sql refused" => {
                let refusal = ours(sql, &tables, zone).expect_err(sql);
                let words = blocks[n + 1].1.trim();
                let hint = daymill::transform::compile(
                    &daymill::project::job::SqlFile { path: "q.sql".into(), text: (*sql).into() },
                    &tables
                        .iter()
                        .map(|t| (t.name.clone(), polars::prelude::IntoLazy::lazy(t.frame.clone())))
                        .collect::<Vec<_>>(),
                    &super::interval(zone),
                );
                let hint = hint.err().and_then(|e| e.hint).unwrap_or_default();
                assert!(
                    refusal.planned && format!("{}{hint}", refusal.said).contains(words),
                    "{sql}: {}{hint}",
                    refusal.said
                );
                counts[2] += 1;
            }
            "text" => {}
            other => panic!("a block of {other:?}"),
        }
    }
    assert!(counts[0] >= 15 && counts[1] >= 3 && counts[2] >= 4, "{counts:?}");
}
