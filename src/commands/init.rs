//! `init`: writes a project that runs: eight days of real flights, a trained model, a job that scores and one that
//! only summarizes.

use std::path::Path;

use crate::error::{Error, Result};
use crate::output;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)) as &[u8])),*]
    };
}

/// The new project is a part of this one.
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

/// The new project has one version of the model and eight days; the repository's has more.
const PROMOTIONS: (&str, &[u8]) = (
    "fixtures/models/flight_delay/promotions.toml",
    b"# Which version an alias means, and since when. `daymill models promote` appends; nothing edits.\n\n\
      [[promotion]]\nalias = \"champion\"\nversion = 3\nat = \"2013-06-01T00:00:00Z\"\n",
);
const LAST_DAY: (&str, &str) = ("ends        = \"2013-06-21\"", "ends        = \"2013-06-08\"");

/// Each project has an id of its own, by which it is told apart in a warehouse.
const ID: &str = "id = \"daymill-demo\"";

pub fn init(folder: &Path) -> Result<u8> {
    let files = || FILES.iter().chain([&ORACLE, &PROMOTIONS]);
    if let Some((path, _)) = files().find(|(path, _)| folder.join(path).exists()) {
        return Err(Error::usage(format!("{} is there already", folder.join(path).display()))
            .hint("init never overwrites: choose an empty folder"));
    }
    for (path, bytes) in files() {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, "create", &e))?;
        }
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.contains(LAST_DAY.0) || text.contains(ID));
        let own = |text: &str| {
            let id = format!("id = \"{}\"", uuid::Uuid::now_v7());
            text.replace(LAST_DAY.0, LAST_DAY.1).replace(ID, &id).into_bytes()
        };
        let bytes = text.map_or(bytes.to_vec(), own);
        std::fs::write(&path, bytes).map_err(|e| Error::io(&path, "write", &e))?;
    }
    let text = format!(
        "A project of {} files is in {}.\n\n  cd {}\n  daymill check\n  daymill run flight_delay --date 2013-06-08\n  daymill backfill flight_delay\n  daymill status",
        FILES.len() + 2,
        folder.display(),
        folder.display()
    );
    output::result(&text)?;
    Ok(0)
}
