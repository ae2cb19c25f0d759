//! Gates: scores that are not what they were are not published, and what could not be asked is said.

use crate::support::*;

/// A job without a model whose `amount` stands for a score.
fn project(gates: &str) -> Project {
    let project = Project::empty();
    project.write("daymill.toml", "[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n");
    project.write("sql/j.sql", "SELECT id, amount FROM rows");
    project.write(
        "jobs/j.toml",
        format!(
            "timezone = \"UTC\"\nkey = [\"id\"]\nstarts = \"2024-01-01\"\n[extract.rows]\njsonl = \"in/{{date}}.jsonl\"\n\
             [extract.rows.columns]\nid = \"int\"\namount = \"float\"\n[transform]\nsql = \"sql/j.sql\"\n[load]\ntable = \"out\"\n{gates}"
        ),
    );
    project
}

fn day(project: &Project, day: u32, rows: u32, amount: impl Fn(u32) -> f64) {
    let line = |i| format!("{{\"id\": {i}, \"amount\": {}}}\n", amount((i * 7919 + day * 13) % rows));
    project.write(&format!("in/2024-01-{day:02}.jsonl"), (0..rows).map(line).collect::<String>());
}

fn run(project: &Project, day: u32) -> Outcome {
    project.daymill(&["run", "j", "--date", &format!("2024-01-{day:02}")])
}

fn even(i: u32) -> f64 {
    f64::from(i) / 1009.0
}

const LAST: &str = "[[gate]]\ncolumn = \"amount\"\nagainst = \"last 7\"\npsi = [0.1, 0.25]\nks = [0.05, 0.2]\n";

#[test]
fn scores_that_moved_are_not_published() {
    let project = project(LAST);
    for n in 1..=7 {
        day(&project, n, 1009, even);
        let said = run(&project, n).expect(0);
        // Until there is a history, that is said.
        if n <= 5 {
            said.says("gate skipped: amount: ").says("of the intervals before have profiles, and 5 are needed");
        }
    }
    assert_eq!(project.run_json()["gates"][0]["verdict"], "pass");
    // A little is a warning, much is an end.
    day(&project, 8, 1009, |i| even(i).powf(0.8));
    run(&project, 8).expect(0).says("gate: amount: ks is 0.08");
    day(&project, 9, 1009, |i| even(i) + 0.5);
    let closed = run(&project, 9).expect(65);
    closed.says("2 of 2 gates are closed; nothing was published").says("beside 7 intervals 2024-01-02 to 2024-01-08");
    assert_eq!(
        rows_of(&project.path("w.sqlite"), "SELECT CAST(count(*) AS TEXT) FROM out WHERE interval_date = '2024-01-09'"),
        ["0"]
    );
    let report = project.run_json();
    assert_eq!(
        (report["gates"][1]["verdict"].as_str(), report["gates"][1]["statistic"].as_str()),
        (Some("fail"), Some("ks"))
    );
    // What stands after an interval does not decide about it, and what failed is no history.
    day(&project, 10, 1009, even);
    run(&project, 10).expect(0);
    run(&project, 8).expect(0).says("gate: amount: ks is 0.08");
    // An attempt that failed left nothing behind; with a wider gate it is published.
    project.edit("jobs/j.toml", "ks = [0.05, 0.2]", "ks = [0.05, 0.9]\non_fail = \"warn\"");
    run(&project, 9).expect(0).says("gate: amount: psi is");
}

#[test]
fn each_kind_of_history_is_asked() {
    let gates =
        |against: &str| format!("[[gate]]\ncolumn = \"amount\"\nagainst = \"{against}\"\nmean_shift = [0.2, 0.5]\n");
    let project = project(&gates("previous"));
    day(&project, 1, 1009, even);
    run(&project, 1).expect(0).says("gate skipped: amount: 0 of the intervals before");
    day(&project, 2, 1009, |i| even(i) + 0.3);
    run(&project, 2).expect(65).says("mean_shift is 1.03").says("beside 2024-01-01");
    project.edit("jobs/j.toml", "previous", "last 1 same weekday");
    run(&project, 2).expect(0).says("gate skipped");
    for n in 3..=7 {
        day(&project, n, 1009, even);
        run(&project, n).expect(0);
    }
    // Monday the 8th beside Monday the 1st, Tuesday the 9th beside Tuesday the 2nd.
    day(&project, 8, 1009, even);
    run(&project, 8).expect(0);
    assert_eq!(project.run_json()["gates"][0]["verdict"], "pass");
    day(&project, 9, 1009, even);
    run(&project, 9).expect(65).says("mean_shift is 1.03").says("beside 2024-01-02");
    project.edit("jobs/j.toml", "last 1 same weekday", "2024-01-01..2024-01-07");
    run(&project, 9).expect(0);
    // An interval is never compared with itself.
    run(&project, 2).expect(65).says("beside 6 intervals 2024-01-01 to 2024-01-07");
    project.edit("jobs/j.toml", "2024-01-01..2024-01-07", "model");
    run(&project, 9).expect(0).says("the model has no reference.json");
}

#[test]
fn one_value_for_all_is_noticed() {
    let project = project("[[gate]]\ncolumn = \"amount\"\ntop = \"50%\"\n");
    day(&project, 1, 1009, |i| if i < 600 { 0.25 } else { even(i) });
    run(&project, 1).expect(65).says("amount: 59.5 % of the values lie between 0.25 and 0.2500");
    day(&project, 1, 1009, |i| if i < 500 { 0.25 } else { even(i) });
    run(&project, 1).expect(0);
    day(&project, 1, 200, |_| 0.25);
    run(&project, 1).expect(0).says("gate skipped: amount: fewer than 300 values");
    // Few values are not judged beside others either.
    project.edit("jobs/j.toml", "top = \"50%\"", "against = \"previous\"\npsi = [0.1, 0.25]");
    day(&project, 2, 200, |_| 0.75);
    run(&project, 2).expect(0).says("200 values beside 2024-01-01, and 300 are needed");
}

#[test]
fn a_backfill_with_gates_goes_one_by_one() {
    let project = project(LAST);
    for n in 1..=9 {
        day(&project, n, 1009, even);
    }
    let done = project
        .daymill(&["backfill", "j", "--from", "2024-01-01", "--to", "2024-01-09", "--jobs", "4", "--yes"])
        .expect(0);
    done.says("one interval at a time");
    // Each found those before it: from the sixth on none was skipped.
    let passed = "SELECT label FROM daymill_runs WHERE report LIKE '%\"verdict\":\"pass\"%' ORDER BY label";
    assert_eq!(rows_of(&project.path("w.sqlite"), passed), ["2024-01-06", "2024-01-07", "2024-01-08", "2024-01-09"]);
}

#[test]
fn a_gate_that_cannot_be_asked_is_told_by_its_line() {
    let refused = |gate: &str, says: &str| {
        let project = project(&format!("[[gate]]\n{gate}\n"));
        day(&project, 1, 400, even);
        run(&project, 1).expect(78).says(says);
    };
    refused("top = \"50%\"", "a [[gate]] of a job without a model names its column");
    refused("column = \"amount\"", "a [[gate]] has top, or against and a limit");
    refused("column = \"amount\"\npsi = [0.1, 0.2]", "does not say what it compares with");
    refused("column = \"amount\"\nagainst = \"last 7\"", "the gate has no limit");
    refused("column = \"amount\"\nagainst = \"yore\"\npsi = [0.1, 0.2]", "is nothing to compare with");
    refused("column = \"amount\"\nagainst = \"last 7\"\npsi = [0.3, 0.2]", "0.3 is not at most 0.2");
    refused("column = \"amount\"\ntop = \"150%\"", "is no share");
    refused(
        "column = \"amounts\"\ntop = \"50%\"",
        "jobs/j.toml:13: the gate is of column \"amounts\", which has no profile",
    );
}

#[test]
fn what_bins_cannot_tell_apart_is_not_taken_for_one_value() {
    let project = project(
        "[[gate]]\ncolumn = \"amount\"\ntop = \"50%\"\n[[gate]]\ncolumn = \"amount\"\nagainst = \"previous\"\npsi = [0.1, 0.25]\n",
    );
    day(&project, 1, 1009, |i| 1.7e15 + f64::from(i));
    run(&project, 1).expect(0).says("too near to be told apart");
    // One value, and then another: all of it moved.
    day(&project, 2, 1009, |_| 4.0);
    run(&project, 2).expect(65).says("100.0 % of the values are 4, and top allows 50.0 %");
    project.edit("jobs/j.toml", "top = \"50%\"", "top = \"100%\"");
    project.edit("jobs/j.toml", "psi = [0.1, 0.25]", "psi = [0.1, 0.25]\non_fail = \"warn\"");
    run(&project, 2).expect(0);
    project.edit("jobs/j.toml", "\non_fail = \"warn\"", "");
    day(&project, 3, 1009, |_| 5.0);
    run(&project, 3).expect(65).says("amount: psi is 18.").says("beside 2024-01-02");
}
