//! `init`: writes a new project. An empty one checks; the example runs: eight days of real flights, a trained model, a job
//! that scores and one that only summarizes.

use std::path::Path;

use crate::cli::Example;
use crate::error::{Error, Result};
use crate::output;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)) as &[u8])),*]
    };
}

/// The example is a part of this project.
const FILES: [(&str, &[u8]); 21] = files![
    "daymill.toml",
    "jobs/flight_delay.toml",
    "jobs/carrier_daily.toml",
    "sql/flight_delay/features.sql",
    "sql/flight_delay/flights.sql",
    "sql/flight_delay/weather.sql",
    "sql/flight_delay/planes.sql",
    "sql/carrier_daily/summary.sql",
    "sql/carrier_daily/flights.sql",
    "fixtures/flights/flight_date=2013-06-01/part-0.parquet",
    "fixtures/flights/flight_date=2013-06-02/part-0.parquet",
    "fixtures/flights/flight_date=2013-06-03/part-0.parquet",
    "fixtures/flights/flight_date=2013-06-04/part-0.parquet",
    "fixtures/flights/flight_date=2013-06-05/part-0.parquet",
    "fixtures/flights/flight_date=2013-06-06/part-0.parquet",
    "fixtures/flights/flight_date=2013-06-07/part-0.parquet",
    "fixtures/flights/flight_date=2013-06-08/part-0.parquet",
    "fixtures/weather.parquet",
    "fixtures/planes.parquet",
    "fixtures/models/flight_delay/3/model.toml",
    "fixtures/models/flight_delay/3/model.ubj",
];

const ORACLE: (&str, &[u8]) = files!["fixtures/models/flight_delay/3/oracle.parquet"][0];

/// The example has one version of the model and eight days; the repository's has more.
const PROMOTIONS: (&str, &[u8]) = (
    "fixtures/models/flight_delay/promotions.toml",
    b"# Which version an alias means, and since when. `daymill models promote` appends; nothing edits.\n\n\
      [[promotion]]\nalias = \"champion\"\nversion = 3\nat = \"2013-06-01T00:00:00Z\"\n",
);
const LAST_DAY: (&str, &str) = ("ends        = \"2013-06-21\"", "ends        = \"2013-06-08\"");

const ID: &str = "id = \"daymill-demo\"";

/// A project without jobs.
const DAYMILL_TOML: &str = r#"#:schema schemas/project.json
# Connections and targets. Jobs live in jobs/, one file each. The id tells this project from others in one warehouse.
id = "ID"
default_target = "dev"

[target.dev]                                       # where predictions go: one file, nothing to install
kind = "sqlite"
path = ".daymill/warehouse.sqlite"

# [connection.warehouse]
# url      = "${env:DAYMILL_WAREHOUSE_URL}"        # postgres://user@host:5432/database
# password = "${env:DAYMILL_WAREHOUSE_PASSWORD}"   # or "${file:/run/secrets/warehouse}"
#
# [target.prod]
# kind       = "postgres"                          # sql/grants.sql makes the roles
# connection = "warehouse"
# schema     = "public"
"#;
const README: &str = "# A Daymill project

- `daymill.toml`: connections, and the targets that predictions go to.
- `jobs/NAME.toml`: one job each: what is extracted, transformed, scored and loaded.
- `sql/`: the SQL that jobs name; `sql/grants.sql` makes the roles for Postgres.
- `models/NAME/VERSION`: models, made by `daymill models import FILE -o models/NAME/1`.
- `schemas/`: what editors know of these files; `daymill schema --write` makes them anew.
- `fixtures/cases/JOB/CASE`: tests of jobs, run by `daymill test`.

`daymill check` says what can be known without running; `daymill --help` lists the commands.
";
const GITIGNORE: &str = "# The ledger, the warehouse of the target dev, and what runs leave behind.\n.daymill/\n";
const GRANTS: (&str, &[u8]) = files!["sql/grants.sql"][0];

/// Each project has an id of its own, by which it is told apart in a warehouse.
fn id() -> String {
    format!("id = \"{}\"", uuid::Uuid::now_v7())
}

pub fn init(folder: &Path, example: Option<Example>) -> Result<u8> {
    let text = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
    let mut files = vec![text(".gitignore", GITIGNORE)];
    files.extend(super::schema::files().iter().map(|(path, schema)| text(path, schema)));
    match example {
        None => files.extend([
            text(GRANTS.0, &general(&String::from_utf8_lossy(GRANTS.1))),
            text("daymill.toml", &DAYMILL_TOML.replace("id = \"ID\"", &id())),
            text("README.md", README),
            text("jobs/.gitkeep", ""),
            text("models/.gitkeep", ""),
        ]),
        Some(Example::Flights) => {
            let example = flights().into_iter().chain([(GRANTS.0, GRANTS.1.to_vec())]);
            files.extend(example.map(|(path, bytes)| (path.to_owned(), bytes)));
        }
    }
    // What a repository has before anything else stays as it is.
    files.retain(|(path, _)| ![".gitignore", "README.md"].contains(&path.as_str()) || !folder.join(path).exists());
    if let Some((path, _)) = files.iter().find(|(path, _)| folder.join(path).exists()) {
        return Err(Error::usage(format!("{} is there already", folder.join(path).display()))
            .hint("init never overwrites: choose an empty folder"));
    }
    for (path, bytes) in &files {
        super::shared::write(&folder.join(path), bytes)?;
    }
    let steps: &[&str] = match example {
        None => &["daymill models import FILE -o models/NAME/1", "daymill check"],
        Some(Example::Flights) => &[
            "daymill check",
            "daymill run flight_delay --date 2013-06-08",
            "daymill backfill flight_delay",
            "daymill status",
        ],
    };
    let place = folder.display().to_string();
    let enter = if place == "." { String::new() } else { format!("\n  cd {place}") };
    let place = if place == "." { "this folder" } else { &place };
    output::result(&format!("A project of {} files is in {place}.\n{enter}\n  {}", files.len(), steps.join("\n  ")))?;
    Ok(0)
}

/// The grants without the tables of the example.
fn general(grants: &str) -> String {
    grants.replace("flights, weather, planes", "orders").replace("flight_delay_scores", "orders_scores")
}

/// The files of the example, with an id of its own and the days that it has.
fn flights() -> Vec<(&'static str, Vec<u8>)> {
    let own = |(path, bytes): &(&'static str, &[u8])| {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.contains(LAST_DAY.0) || text.contains(ID));
        let own = |text: &str| text.replace(LAST_DAY.0, LAST_DAY.1).replace(ID, &id()).into_bytes();
        (*path, text.map_or(bytes.to_vec(), own))
    };
    FILES.iter().chain([&ORACLE, &PROMOTIONS]).map(own).collect()
}
