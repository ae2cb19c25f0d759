//! Tests of jobs: rows and errors that are expected, the SQL of sources on a server, cases of real days, reports for other
//! programs.

use crate::support::*;

/// A job that reads a file, and one that reads Postgres with SQL of its own.
fn project() -> Project {
    let project = Project::empty();
    project.write(
        "daymill.toml",
        "[connection.ops]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\n[target.t]\nkind = \"sqlite\"\npath = \"w.sqlite\"\n",
    );
    project.write(
        "jobs/files.toml",
        "timezone = \"UTC\"\nkey = [\"id\"]\n[extract.rows]\ncsv = \"in/{date}.csv\"\n[extract.rows.columns]\nid = \"int\"\nwho = \"text\"\nn = \"int\"\n\
         [transform]\nsql = \"sql/files.sql\"\n[load]\ntable = \"files\"\n",
    );
    project.write("sql/files.sql", "SELECT id, who, n * 2 AS twice FROM rows");
    project.write(
        "jobs/server.toml",
        "timezone = \"Europe/Berlin\"\nkey = [\"day\", \"shop\"]\n[extract.sales]\nconnection = \"ops\"\nsql = \"sql/sales.sql\"\n\
         [transform]\nsql = \"sql/server.sql\"\n[load]\ntable = \"server\"\n",
    );
    project.write(
        "sql/sales.sql",
        "SELECT s.name AS shop, CAST(date_trunc('day', o.at) AS date) AS day, CAST(sum(o.price) FILTER (WHERE NOT o.void) AS double precision) AS total\n\
         FROM orders AS o JOIN ref.shops AS s USING (shop_id)\nWHERE o.at >= :start AND o.at < :end\nGROUP BY 1, 2",
    );
    project.write("sql/server.sql", "SELECT day, shop, total FROM sales");
    project
}

fn case(project: &Project, job: &str, name: &str, text: &str, input: &str) {
    let folder = format!("fixtures/cases/{job}/{name}");
    project.write(&format!("{folder}/case.toml"), format!("date = \"2024-01-01\"\n{text}"));
    project.write(&format!("{folder}/input/rows.csv"), input);
}

const TWICE: &str = "id,who,n\n1,a,2\n1,b,3\n";

#[test]
fn an_error_may_be_what_is_expected() {
    let project = project();
    case(&project, "files", "repeated", "expect_error = 65\nexpect_message = \"id=1 on 2 rows\"\n", TWICE);
    project.daymill(&["test"]).expect(0).says("ok      files/repeated");
    case(&project, "files", "repeated", "expect_error = 66\n", TWICE);
    project.daymill(&["test"]).expect(65).says("the job failed with the exit code 65, not 66").says("the key (id)");
    case(&project, "files", "repeated", "expect_error = 65\nexpect_message = \"no rows\"\n", TWICE);
    project.daymill(&["test"]).expect(65).says("the error does not say \"no rows\"");
    case(&project, "files", "repeated", "expect_error = 65\n", "id,who,n\n1,a,2\n");
    project.daymill(&["test"]).expect(65).says("the job succeeded, and was expected to fail with the exit code 65");
    case(&project, "files", "repeated", "expect_message = \"x\"\n", TWICE);
    project.daymill(&["test"]).expect(65).says("expect_message is only for expect_error");
}

#[test]
fn bless_is_offered_where_rows_differ_and_not_where_a_job_fails() {
    let project = project();
    case(&project, "files", "rows", "", "id,who,n\n1,a,2\n");
    project.write("fixtures/cases/files/rows/expected.csv", "id,who,twice\n1,a,5\n");
    let ended = project.daymill(&["test"]).expect(65).says("--bless");
    ended.says("~ id=1: twice expected 5, found 4");
    case(&project, "files", "broken", "", TWICE);
    let ended = project.daymill(&["test"]).expect(65);
    assert!(!ended.stderr.contains("--bless"), "{}", ended.stderr);
    project.daymill(&["test", "--bless"]).expect(65).says("blessed files/rows").says("FAILED  files/broken");
    project.daymill(&["test", "--case", "rows"]).expect(0);
}

#[test]
fn reports_are_read_by_other_programs() {
    let project = project();
    case(&project, "files", "broken", "", "id,who,n\n1,<&\u{1}\"#,2\n1,b,3\n");
    case(&project, "files", "fine", "expect_error = 65\n", TWICE);
    let tap = project.daymill(&["test", "--tap", "--junit", "out/report.xml"]).expect(65).stdout;
    let lines: Vec<&str> = tap.lines().collect();
    assert_eq!(lines[..3], ["TAP version 13", "1..2", "not ok 1 - files/broken"], "{tap}");
    assert!(lines.contains(&"ok 2 - files/fine") && lines[3].starts_with("# "), "{tap}");
    let python =
        std::env::var("DAYMILL_TEST_PYTHON").expect("DAYMILL_TEST_PYTHON is not set: scripts/with-postgres.sh sets it");
    let script = "import sys, xml.etree.ElementTree as e\nsuite = e.parse(sys.argv[1]).getroot()[0]\n\
                  print(suite.get('tests'), suite.get('failures'), *[(c.get('classname'), c.get('name'), len(c)) for c in suite])";
    let report = project.path("out/report.xml").display().to_string();
    let out = std::process::Command::new(python).args(["-c", script, &report]).output().unwrap();
    let read = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(read.trim(), "2 1 ('files', 'broken', 1) ('files', 'fine', 0)", "{out:?}");
    assert!(std::fs::read_to_string(report).unwrap().contains("the key (id) is not unique"));
}

const ORDERS: &str = "order_id,shop_id,at,price,void\n1,1,2023-12-31T23:00:00Z,10.25,false\n2,1,2024-01-01T22:59:59Z,0.5,false\n\
                      3,1,2024-01-01T23:00:00Z,99,false\n4,2,2024-01-01T12:00:00Z,7,true\n";

#[test]
fn the_sql_of_a_source_runs_over_fixtures_and_leaves_nothing() {
    let (project, database) = (project(), Database::new());
    let source = "fixtures/cases/server/a_day/source";
    project.write("fixtures/cases/server/a_day/case.toml", "date = \"2024-01-01\"\n");
    project.write(&format!("{source}/orders.csv"), ORDERS);
    project.write(
        &format!("{source}/ref.shops.jsonl"),
        "{\"shop_id\": 1, \"name\": \"Mitte\"}\n{\"shop_id\": 2, \"name\": \"Ost\"}\n",
    );
    project
        .write("fixtures/cases/server/a_day/expected.csv", "day,shop,total\n2024-01-01,Mitte,10.75\n2024-01-01,Ost,\n");
    project.daymill(&["test"]).expect(65).says("pass --postgres URL");
    let on_server = |project: &Project| project.daymill(&["test", "--postgres", &database.url]);
    on_server(&project).expect(0).says("ok      server/a_day");
    // That a case has nothing for the SQL is said.
    case(&project, "files", "none", "expect_error = 65\n", TWICE);
    on_server(&project).expect(0).says("1 of 2 cases have no source/");
    // A table of its own form, made by a script.
    project.write(
        &format!("{source}/setup.sql"),
        "CREATE TEMP TABLE orders (order_id int PRIMARY KEY, shop_id smallint, at timestamptz, price numeric(10, 2), void boolean);\n\
         CREATE SCHEMA ref; CREATE TABLE ref.shops (shop_id smallint, name varchar(20));",
    );
    on_server(&project).expect(0);
    assert!(database.rows("SELECT 1 FROM pg_namespace WHERE nspname = 'ref'").is_empty());
    project.edit("sql/sales.sql", "NOT o.void", "NOT o.voided");
    on_server(&project).expect(65).says("column o.voided does not exist");
    project.edit("sql/sales.sql", "NOT o.voided", "o.void");
    on_server(&project).expect(65).says("shop=Ost: total expected , found 7.0").says("--bless");
    // Tables that are somebody's are not touched.
    project.write(&format!("{source}/setup.sql"), "SELECT 1");
    database
        .execute("CREATE SCHEMA ref; CREATE TABLE ref.shops (shop_id bigint, name text); CREATE TABLE orders (x int)");
    on_server(&project).expect(65).says("of its own");
    assert!(database.rows("SELECT * FROM ref.shops").is_empty());
}

#[test]
fn fixtures_are_what_their_files_say_and_stay_in_the_transaction() {
    let (project, database) = (project(), Database::new());
    let source = "fixtures/cases/server/a_day/source";
    project.write(
        "sql/sales.sql",
        "SELECT shop, at::date AS day, 1.5::float8 AS total FROM visits WHERE at >= :date AND at < :date + 1",
    );
    project.write("fixtures/cases/server/a_day/case.toml", "date = \"2024-01-01\"\n");
    project.write("fixtures/cases/server/a_day/expected.csv", "day,shop,total\n2024-01-01,a,1.5\n2024-01-01,b,1.5\n");
    // By the clock of the file; in Berlin it is another day already.
    project.write(
        &format!("{source}/visits.csv"),
        "shop,at\na,2024-01-01 00:10:00\nb,2024-01-01 23:30:00\nc,2024-01-02 00:00:00\n",
    );
    let setup = format!("{source}/setup.sql");
    let on_server = || project.daymill(&["test", "--postgres", &database.url]);
    project.write(&setup, "CREATE TEMP TABLE visits (shop text, at timestamp)");
    on_server().expect(0);
    project.write(&setup, "CREATE TEMP TABLE visits (shop varchar(1), at timestamp)");
    project.write(&format!("{source}/visits.csv"), "shop,at\nabc,2024-01-01 00:10:00\n");
    on_server().expect(65).says("value too long for type character varying(1)");
    project.write(&setup, "CREATE TABLE leak (x int); COMMIT; BEGIN");
    on_server().expect(65).says("setup.sql ends the transaction");
    database.execute("CREATE TABLE visits (shop text, at timestamp)");
    std::fs::remove_file(project.path(&setup)).unwrap();
    on_server().expect(65).says("the server has a table visits of its own");
}

#[test]
fn a_tolerance_is_of_a_column_and_a_number() {
    let project = project();
    case(&project, "files", "rows", "[tolerance]\ntwise = 1\n", "id,who,n\n1,a,2\n");
    project.write("fixtures/cases/files/rows/expected.csv", "id,who,twice\n1,a,4\n");
    project.daymill(&["test"]).expect(65).says("a tolerance for \"twise\", which is not published");
    case(&project, "files", "rows", "[tolerance]\ntwice = inf\n", "id,who,n\n1,a,2\n");
    project.daymill(&["test"]).expect(65).says("tolerance.twice must be a number from 0");
    case(&project, "files", "rows", "[tolerance]\ntwice = -1\n", "id,who,n\n1,a,2\n");
    project.daymill(&["test"]).expect(65).says("tolerance.twice must be a number from 0");
    project.daymill(&["test", "--case", "zzz"]).expect(2).says("no case has \"zzz\" in its name").says("files/rows");
}

#[test]
fn a_real_day_becomes_a_case() {
    let project = Project::flights();
    project.own_fixtures();
    let record = |more: &[&str]| {
        let record = ["test", "--record", "flight_delay", "--date", "2013-06-08", "--rows", "7"];
        project.daymill(&[&record[..], more].concat())
    };
    record(&["--mask", "tail"]).expect(2).says("no table has a column \"tail\"");
    record(&["--mask", "arr_delay"]).expect(2).says("a column of the type Float64 is not masked");
    let folder = "fixtures/cases/flight_delay/2013-06-08";
    assert!(!project.path(folder).exists());
    let told = record(&["--mask", "tailnum,flight"]).expect(0).stdout;
    assert!(told.contains(folder) && told.contains("flights 14"), "{told}");
    project
        .daymill(&["test", "flight_delay", "--case", "2013-06-08"])
        .expect(0)
        .says("ok      flight_delay/2013-06-08");
    // As CSV, which people can read.
    let texts = |table: &str, column: &str| -> Vec<String> {
        let text = std::fs::read_to_string(project.path(&format!("{folder}/input/{table}.csv"))).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        let at = lines.next().unwrap().iter().position(|name| name == column).unwrap();
        lines.map(|line| line[at].clone()).filter(|cell| !cell.is_empty()).collect()
    };
    let (flights, planes) = (texts("flights", "tailnum"), texts("planes", "tailnum"));
    assert!(!flights.is_empty() && flights.iter().chain(&planes).all(|tail| tail.starts_with('x')), "{flights:?}");
    assert!(flights.iter().any(|tail| planes.contains(tail)), "alike values are masked alike");
    assert_eq!(texts("flights", "flight").len(), 14);
    assert!(std::fs::read_to_string(project.path(&format!("{folder}/expected.csv"))).unwrap().lines().count() > 3);
    record(&[]).expect(2).says("is there already");
    record(&["--case", "../x"]).expect(2).says("cannot be the name of a case");
    // A day without rows leaves nothing.
    project.daymill(&["test", "--record", "flight_delay", "--date", "2013-07-08"]).expect(66);
    assert!(!project.path("fixtures/cases/flight_delay/2013-07-08").exists());
    // What others set for all commands is no hindrance.
    let project = Project::flights()
        .env("DAYMILL_TEST_POSTGRES", "postgres://nobody@127.0.0.1:1/none")
        .env("DAYMILL_OUTPUT", "json");
    project.own_fixtures();
    project.daymill(&["test", "--record", "carrier_daily", "--date", "2013-06-08"]).expect(0);
    assert!(project.daymill(&["test", "--tap"]).expect(0).stdout.starts_with("TAP version 13"));
}

#[test]
fn a_new_job_comes_with_a_test() {
    let project = project();
    for date in ["2024-02-28", "2024-02-29"] {
        project.write(&format!("data/{date}.csv"), "id,who,n\n1,a,2\n2,b,3\n");
    }
    let new = ["new", "job", "mine", "--from", "data/{date}.csv", "--key", "id"];
    let told = project.daymill(&new).expect(0).stdout;
    assert!(told.contains("fixtures/cases/mine/2024-02-29") && told.contains("run mine --date 2024-02-29"), "{told}");
    project.daymill(&["test", "mine"]).expect(0).says("ok      mine/2024-02-29");
    let expected = std::fs::read_to_string(project.path("fixtures/cases/mine/2024-02-29/expected.csv")).unwrap();
    assert_eq!(expected, "id,who,n\n1,a,2\n2,b,3\n");
}
