//! The laboratory's job: what cannot be is put aside, a bad lot of reagents is found, and the page says so.

use crate::support::*;

fn project() -> Project {
    let project = Project::empty();
    project.write("daymill.toml", "[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n");
    for file in ["jobs/run_qc.toml", "sql/run_qc/lanes.sql"] {
        project.write(file, std::fs::read(repository().join(file)).unwrap());
    }
    std::os::unix::fs::symlink(repository().join("fixtures"), project.path("fixtures")).unwrap();
    project
}

#[test]
fn two_weeks_of_a_laboratory() {
    let project = project();
    project.daymill(&["check", "run_qc", "--offline"]).expect(0);
    project.daymill(&["backfill", "run_qc", "--yes"]).expect(0);
    // The camera that says -1, and the run with percentages above 100: three reads of four lanes each.
    let list = project.daymill(&["quarantine", "list", "run_qc", "--output", "json"]).expect(0).json();
    let of = |at: usize| {
        (list[at]["interval"].as_str().unwrap(), list[at]["rule"].as_str().unwrap(), list[at]["rows"].as_u64())
    };
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    assert_eq!(
        (of(0), of(1)),
        (("2026-03-11", "shares_are_shares", Some(12)), ("2026-03-09", "density_is_one", Some(12)))
    );
    let rows = rows_of(&project.path("w.sqlite"), "SELECT CAST(count(*) AS TEXT) FROM run_qc");
    assert_eq!(rows, [(14 * 31 * 12 - 24).to_string()]);
    // The lot that costs three points of Q30: a gate warns on the first day, and it is drift on the second.
    let drift = |date: &str| {
        let found = project.daymill(&["drift", "run_qc", "--date", date, "--output", "json"]).expect(0).json();
        let columns = found["drift"][0]["columns"].as_array().unwrap().clone();
        let of = |standing: &str| {
            let all = columns.iter().filter(|column| column["standing"] == standing);
            all.map(|column| column["column"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        (of("moved"), of("drifting"))
    };
    assert_eq!(drift("2026-03-12"), (vec![], vec![]));
    assert_eq!(drift("2026-03-13"), (vec!["q30".to_owned()], vec![]));
    assert_eq!(drift("2026-03-14"), (vec![], vec!["q30".to_owned()]));
    let gates = rows_of(
        &project.path("w.sqlite"),
        "SELECT label FROM daymill_runs WHERE report LIKE '%\"verdict\":\"warn\"%' ORDER BY label",
    );
    assert_eq!(gates.first().map(String::as_str), Some("2026-03-13"), "{gates:?}");
    let page = project.daymill(&["report", "run_qc", "--output", "json"]).expect(0).json();
    assert_eq!(page["intervals"], 14);
    project.daymill(&["ledger", "verify", "--rows", "run_qc"]).expect(0);
}
