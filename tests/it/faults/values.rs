//! Values of Postgres at the edge of what a column holds: each is exact at the other end, or refused by name.

use super::scene::*;
use crate::support::*;

/// A project whose only table is a query on the database that it publishes to.
fn project(database: &Database, columns: &str, source: &str, sql: &str) -> Project {
    let project = Project::empty().env("DAYMILL_TALLY_URL", &database.url);
    project.write(
        "daymill.toml",
        "[connection.house]\nurl = \"${env:DAYMILL_TALLY_URL}\"\n[target.only]\nkind = \"postgres\"\nconnection = \"house\"\n",
    );
    project.write(
        "jobs/tally.toml",
        format!(
            "timezone = \"UTC\"\nkey = [\"id\"]\n[extract.ticks]\nconnection = \"house\"\nsql = \"sql/ticks.sql\"\nsnapshot = true\n\
             [extract.ticks.columns]\nid = \"int\"\n{columns}\n[transform]\nsql = \"sql/tally.sql\"\n[load]\ntable = \"tally\"\n"
        ),
    );
    project.write("sql/ticks.sql", source);
    project.write("sql/tally.sql", sql);
    project
}

#[test]
fn f58_an_infinite_time_is_refused_by_column_and_row() {
    let database = Database::new();
    database.execute("CREATE TABLE ticks (id bigint, at timestamptz, day date)");
    for (at, day, says) in [
        ("'infinity'", "'2020-01-01'", Some("\"at\", row 1: an infinite timestamp")),
        ("'-infinity'", "'2020-01-01'", Some("\"at\", row 1: an infinite timestamp")),
        ("'2020-01-01Z'", "'infinity'", Some("\"day\", row 1: an infinite date")),
        ("'294276-12-31Z'", "'2020-01-01'", Some("\"at\", row 1: a timestamp out of range")),
        ("'4713-01-01 BC'", "'4713-02-01 BC'", None),
        ("'9999-12-31 23:59:59.999999Z'", "'9999-12-31'", None),
    ] {
        database.execute(&format!("TRUNCATE ticks; INSERT INTO ticks VALUES (1, {at}, {day})"));
        let columns = "at = \"timestamp\"\nday = \"date\"";
        let project =
            project(&database, columns, "SELECT id, at, day FROM ticks", "SELECT id, at AS v, day AS d FROM ticks");
        let ended = project.daymill(&RUN);
        match says {
            Some(says) => drop(ended.expect(65).says(says)),
            None => {
                ended.expect(0);
                assert_eq!(
                    database.rows("SELECT t.id FROM tally t JOIN ticks s ON s.at = t.v AND s.day = t.d"),
                    ["(1)"]
                );
            }
        }
    }
}

#[test]
fn f59_numbers_keep_their_value_or_are_refused() {
    let database = Database::new();
    let columns = "v = \"float\"";
    let run = |value: &str, sql: &str| {
        let project = project(&database, columns, &format!("SELECT 1::bigint AS id, {value} AS v"), sql);
        (project.daymill(&RUN), project)
    };
    let plain = "SELECT id, v AS value FROM ticks";
    for (value, stands) in [
        ("'NaN'::numeric", "NaN"),
        ("'-0'::float8", "0"),
        ("'Infinity'::float8", "Infinity"),
        ("4.9e-324::float8", "5e-324"),
        ("0.1::numeric(1000, 999)", "0.1"),
        ("(repeat('3', 999) || '.5')::numeric / (10::numeric ^ 999)", "0.3333333333333333"),
        ("(10::numeric ^ 22)", "1e+22"),
        ("9007199254740992::numeric", "9.007199254740992e+15"),
    ] {
        run(value, plain).0.expect(0);
        assert_eq!(database.rows("SELECT value FROM tally"), [format!("({stands})")], "{value}");
    }
    // Whole numbers that no float holds are identifiers, and a float would merge two of them.
    for value in ["9007199254740993::numeric", "(repeat('7', 400))::numeric"] {
        run(value, plain).0.expect(65).says("column \"v\", row 1");
    }
    // An identifier beyond 2^53 stays what it is as an int, and a model never sees it rounded.
    let project = super::values::project(
        &database,
        "v = \"int\"",
        "SELECT 9007199254740993::bigint AS id, 9223372036854775807::bigint AS v",
        "SELECT id, v AS big FROM ticks",
    );
    project.edit("jobs/tally.toml", "table = \"tally\"", "table = \"big\"");
    project.daymill(&RUN).expect(0);
    assert_eq!(database.rows("SELECT id, big FROM big"), ["(9007199254740993,9223372036854775807)"]);
}

#[test]
fn f60_types_are_exact_or_refused_with_column_and_type() {
    let database = Database::new();
    database.execute(
        "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE DOMAIN even AS bigint CHECK (VALUE % 2 = 0); \
         CREATE TYPE pair AS (a int, b int)",
    );
    for (value, kind, stands) in [
        ("'glad'::mood", "text", "glad"),
        ("42::even", "int", "42"),
        ("'0190163d-8694-739b-aea5-966c26f8ad91'::uuid", "text", "0190163d-8694-739b-aea5-966c26f8ad91"),
        ("'x'::\"char\"", "text", "x"),
        ("'ab'::char(4)", "text", "\"ab  \""),
        ("7::smallint", "int", "7"),
        ("true", "bool", "t"),
        ("1.5::real", "float", "1.5"),
    ] {
        database.execute("DROP TABLE IF EXISTS tally; DROP SCHEMA IF EXISTS daymill CASCADE");
        let columns = format!("v = \"{kind}\"");
        let source = format!("SELECT 1::bigint AS id, {value} AS v");
        project(&database, &columns, &source, "SELECT id, v AS value FROM ticks").daymill(&RUN).expect(0);
        assert_eq!(database.rows("SELECT value FROM tally"), [format!("({stands})")], "{value}");
    }
    for (value, name) in [
        ("ARRAY[1, 2]", "int4[]"),
        ("'{\"a\": 1}'::jsonb", "jsonb"),
        ("'{}'::json", "json"),
        ("int4range(1, 5)", "int4range"),
        ("'\\xdeadbeef'::bytea", "bytea"),
        ("'1 day'::interval", "interval"),
        ("'12:00'::time", "time"),
        ("'10.0.0.1'::inet", "inet"),
        ("12::money", "money"),
        ("point(1, 2)", "point"),
        ("B'101'", "bit"),
        ("'2020-01-01'::timestamp", "timestamp"),
        ("ROW(1, 2)::pair", "pair"),
    ] {
        let source = format!("SELECT 1::bigint AS id, {value} AS v");
        let ended = project(&database, "v = \"text\"", &source, "SELECT id, v AS value FROM ticks").daymill(&RUN);
        ended.expect(65).says("\"v\"").says(name);
    }
}

#[test]
fn f61_text_arrives_byte_for_byte() {
    let database = Database::new();
    let texts = [
        "''",
        "NULL",
        "'\\N'",
        "'\\.'",
        "E'a\\tb'",
        "E'a\\nb\\r\\n'",
        "'NULL'",
        "'𝔘𝔫𝔦 👩‍🚀'",
        "E'\\x01\\x7f'",
        "'\"quoted\", ''and'''",
        "E'\\\\'",
        "' lead and trail '",
        "U&'\\00e9'",
        "U&'e\\0301'",
        "repeat('x', 100000)",
    ];
    let rows = texts.iter().enumerate().map(|(i, t)| format!("SELECT {i}::bigint AS id, {t} AS v"));
    let source = rows.collect::<Vec<_>>().join(" UNION ALL ");
    let project = project(&database, "v = \"text\"", &source, "SELECT id, v AS value FROM ticks");
    project.daymill(&RUN).expect(0);
    let differ =
        format!("SELECT s.id FROM ({source}) s LEFT JOIN tally t ON t.id = s.id WHERE s.v IS DISTINCT FROM t.value");
    assert!(database.rows(&differ).is_empty());
    assert_eq!(database.rows("SELECT count(*) FROM tally"), [format!("({})", texts.len())]);
    assert_eq!(database.rows("SELECT count(*) FROM tally WHERE value IS NULL"), ["(1)"]);
}

#[test]
fn f62_bytes_that_are_no_text_are_refused() {
    let server = Server::start();
    let admin = server.database();
    admin.execute("CREATE DATABASE raw ENCODING SQL_ASCII TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    let database = Database { url: format!("{}/raw", admin.url.rsplit_once('/').unwrap().0) };
    database.execute("CREATE TABLE ticks (id bigint, v text); INSERT INTO ticks VALUES (1, 'fine'), (2, E'caf\\xe9')");
    let project = project(&database, "v = \"text\"", "SELECT id, v FROM ticks", "SELECT id, v AS value FROM ticks");
    let ended = project.daymill(&RUN).expect(65);
    assert!(ended.stderr.contains("UTF-8") || ended.stderr.contains("UTF8"), "{}", ended.stderr);
    assert!(database.rows("SELECT id FROM tally").is_empty());
}
