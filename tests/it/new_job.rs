//! `new job`: jobs that are written from what a source and a model say.

use chrono::{Days, NaiveDate};

use crate::front_door::{noon, shows};
use crate::support::*;

/// Files of a shop, one each day, that nobody made for this program.
fn shop(project: &Project) -> Vec<NaiveDate> {
    let (_, today) = noon();
    let days: Vec<NaiveDate> = (1..4).map(|n| today - Days::new(n)).collect();
    for date in &days {
        let rows =
            (0..20).map(|i| format!("{i},{date}T0{}:15:00Z,{}.5,{},shop {},0{i}\n", i % 10, i * 3, i % 2 == 0, i % 3));
        let text = format!("Order ID,placed_at,amount,gift,customer,zip\n{}", rows.collect::<String>());
        project.write(&format!("data/orders-{date}.csv"), text);
    }
    days
}

#[test]
fn a_job_is_written_from_what_its_files_say() {
    let project = Project::empty();
    project.daymill(&["init", "."]).expect(0);
    let days = shop(&project);
    let new = |name: &str, from: &str, more: &[&str]| {
        project.daymill(&[&["new", "job", name, "--from", from, "--key", "Order ID"], more].concat())
    };
    shows(new("orders", "data/orders-{date}.csv", &[]).expect(0), "jobs/orders.toml");
    let text = std::fs::read_to_string(project.path("jobs/orders.toml")).unwrap();
    for line in [
        "\"Order ID\" = \"int\"",
        "placed_at = \"timestamp\"",
        "amount = \"float\"",
        "gift = \"bool\"",
        "zip = \"text\"",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    project.daymill(&["check", "orders"]).expect(0);
    project.daymill(&["run", "orders", "--date", "yesterday"]).expect(0);
    assert_eq!(project.run_json()["rows"]["published"], 20);
    new("orders", "data/orders-{date}.csv", &[]).expect(2).says("is there already");
    // All files, told apart by a column.
    new("all", "data/*.csv", &[]).expect(2).says("--time");
    new("all", "data/*.csv", &["--time", "placed_at"]).expect(0);
    project.daymill(&["run", "all", "--date", &days[1].to_string()]).expect(0);
    assert_eq!(project.run_json()["rows"]["published"], 20);
    // A name is no path, and what somebody wrote is not touched.
    new("../up", "data/orders-{date}.csv", &[]).expect(2).says("cannot be the name");
    project.write("sql/mine/orders.sql", "mine");
    new("mine", "data/orders-{date}.csv", &[]).expect(2).says("is there already");
    assert_eq!(std::fs::read_to_string(project.path("sql/mine/orders.sql")).unwrap(), "mine");
    // What is wrong leaves nothing behind.
    new("bad", "data/orders-{date}.csv", &["--time", "placed"]).expect(2).says("placed_at");
    new("bad", "nothing/{date}.csv", &[]).expect(66).says("no file matches");
    new("bad", "data/{date}.xlsx", &[]).expect(2).says(".parquet, .csv, .jsonl");
    new("bad", "data/orders-{date}.csv", &["--timezone", "Berlin"]).expect(2).says("Europe/Berlin");
    new("bad", "data/orders-{date}.csv", &["--model", "data/nothing.ubj"]).expect(66);
    assert!(!project.path("jobs/bad.toml").exists() && !project.path("sql/bad/features.sql").exists());
    assert!(!project.path("models/bad/1").exists());
    project.daymill(&["check"]).expect(0);
}

#[test]
fn a_job_is_written_from_a_model_and_files_with_types() {
    let project = Project::flights();
    let model = repository().join("fixtures/models/flight_delay/3/model.ubj").display().to_string();
    let from = "fixtures/flights/flight_date={date}/*.parquet";
    let arguments =
        ["new", "job", "late", "--from", from, "--key", "carrier,flight,origin,sched_dep_time", "--model", &model];
    let zone = ["--timezone", "America/New_York", "--table", "late_scores"];
    let made = project.daymill(&[&arguments[..], &zone].concat()).expect(0);
    // The source has some of the model's features; the others are named where they are to be made.
    made.says("the source has no column for").says("sql/late/features.sql");
    let sql = std::fs::read_to_string(project.path("sql/late/features.sql")).unwrap();
    assert!(sql.contains("t.distance") && sql.contains("-- To do: the feature plane_age"), "{sql}");
    assert!(project.path("models/late/1/model.toml").exists());
    project.daymill(&["models", "verify", "models/late@1"]).expect(0);
    let text = std::fs::read_to_string(project.path("jobs/late.toml")).unwrap();
    assert!(text.contains("model = \"models/late@1\"") && text.contains("table = \"late_scores\""), "{text}");
    // Until they are made, the check says which.
    shows(project.daymill(&["check", "late"]).expect(66), "plane_age");
}

#[test]
fn a_job_is_written_from_a_table_of_postgres() {
    let database = Database::new();
    database.execute(
        "CREATE SCHEMA app; CREATE TABLE app.\"Orders\" (id bigint, placed timestamp, amount numeric(9,2), note varchar(10), \"end\" date);
         INSERT INTO app.\"Orders\" SELECT i, date_trunc('day', now() AT TIME ZONE 'UTC') - interval '12 hours', i, 'n', current_date FROM generate_series(1, 30) i",
    );
    let project = Project::empty();
    project.daymill(&["init", "."]).expect(0);
    project.write(
        "daymill.toml",
        "[connection.ops]\nurl = \"${env:FRONT_URL}\"\n[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n",
    );
    let project = project.env("FRONT_URL", &database.url);
    let new = ["new", "job", "orders", "--from", "ops.app.Orders", "--key", "id"];
    project.daymill(&new).expect(2).says("--time COLUMN");
    let made = project.daymill(&[&new[..], &["--time", "placed"]].concat()).expect(0);
    let made = made.says("are of UTC; --timezone NAME says another clock");
    // The newest day is asked of the server.
    assert!(
        made.stdout.contains("A test of its newest day is in") && !made.stdout.contains("yesterday"),
        "{}",
        made.stdout
    );
    project.daymill(&["test", "orders"]).expect(0);
    let sql = std::fs::read_to_string(project.path("sql/orders/orders.sql")).unwrap();
    assert!(
        sql.contains("FROM app.\"Orders\"") && sql.contains("placed >= :start") && sql.contains("\"end\""),
        "{sql}"
    );
    project.daymill(&["check", "orders"]).expect(0);
    project.daymill(&["run", "orders", "--date", "yesterday"]).expect(0);
    assert_eq!(project.run_json()["rows"]["published"], 30);
    // The bounds of the SQL go by another clock than the values: that is said.
    project.edit("jobs/orders.toml", "timezone    = \"UTC\"", "timezone    = \"Pacific/Auckland\"");
    project.edit("jobs/orders.toml", "table = \"orders\"", "table = \"others\"");
    std::fs::rename(project.path("jobs/orders.toml"), project.path("jobs/others.toml")).unwrap();
    let warning = "placed is of the clock of UTC, and sql/orders/orders.sql compares it with :start and :end by the clock of Pacific/Auckland";
    project
        .daymill(&["run", "others", "--date", "yesterday", "--dry-run"])
        .says(warning)
        .says(":start AT TIME ZONE 'UTC'");
    project.edit("sql/orders/orders.sql", "placed >= :start", "placed >= :start AT TIME ZONE 'UTC'");
    assert!(!project.daymill(&["run", "others", "--date", "yesterday", "--dry-run"]).stderr.contains("of the clock"));
    project
        .daymill(&["new", "job", "x", "--from", "ops.app.nothing", "--key", "id", "--time", "t"])
        .expect(65)
        .says("does not exist");
    assert!(!project.path("jobs/x.toml").exists() && !project.path("sql/x").exists());
    // A right that is missing is found by check, which reads no row.
    let role = format!("reader_{}", uuid::Uuid::now_v7().simple());
    database.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA app TO {role}"));
    let (head, tail) = database.url.split_once("//").unwrap();
    let url = format!("{head}//{role}:x@{}", tail.rsplit('@').next().unwrap());
    let checked = project.env("FRONT_URL", &url).daymill(&["check", "others"]).expect(78).stdout;
    assert!(checked.contains("permission denied for table Orders"), "{checked}");
}
