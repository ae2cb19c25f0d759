//! Whole queries as teams write them, over the flights of the fixtures: our answer beside Postgres'.

use polars::prelude::*;

use super::{Server, Table, agree};
use crate::support::repository;

const ZONE: &str = "America/New_York";

fn tables() -> Vec<Table> {
    let read = |name: &str, pattern: &str, columns: &[&str]| {
        let mut files: Vec<_> =
            glob::glob(&repository().join(pattern).display().to_string()).unwrap().flatten().collect();
        files.sort();
        let scans = files.iter().take(9).map(|f| {
            let path = PlRefPath::try_from_path(f).unwrap();
            LazyFrame::scan_parquet(path, ScanArgsParquet::default()).unwrap()
        });
        let exprs: Vec<Expr> = columns.iter().map(|c| col(*c)).collect();
        let all = concat(scans.collect::<Vec<_>>(), UnionArgs::default()).unwrap().select(exprs).collect().unwrap();
        let wide = |c: &Column| match c.dtype() {
            kind if kind.is_integer() => c.cast(&DataType::Int64).unwrap(),
            DataType::Float32 => c.cast(&DataType::Float64).unwrap(),
            _ => c.clone(),
        };
        let columns = all.columns().iter().map(wide).collect();
        Table { name: name.into(), frame: DataFrame::new(all.height(), columns).unwrap() }
    };
    let flights = [
        "carrier",
        "flight",
        "tailnum",
        "origin",
        "dest",
        "sched_dep_time",
        "sched_arr_time",
        "dep_time",
        "arr_delay",
        "distance",
        "hour",
        "minute",
        "time_hour",
    ];
    let weather = [
        "origin",
        "time_hour",
        "temp",
        "dewp",
        "humid",
        "wind_dir",
        "wind_speed",
        "wind_gust",
        "precip",
        "pressure",
        "visib",
    ];
    let mut all = vec![
        read("raw", "fixtures/flights/*/*.parquet", &flights),
        read("weather", "fixtures/weather.parquet", &weather),
        read("planes", "fixtures/planes.parquet", &["tailnum", "built", "seats", "engines"]),
    ];
    let day = col("time_hour").dt().convert_time_zone(TimeZone::opt_try_new(Some(ZONE)).unwrap().unwrap()).dt().date();
    let flights = all[0].frame.clone().lazy().with_columns([day.alias("flight_date")]).collect().unwrap();
    all[0] = Table { name: "flights".into(), frame: flights };
    all
}

/// The job's own SQL, for the day.
fn job(name: &str) -> String {
    std::fs::read_to_string(repository().join("sql").join(name)).unwrap().replace(":date", "DATE '2013-06-08'")
}

#[test]
fn whole_queries_have_postgres_answers() {
    let tables = tables();
    let mut server = Server::new(&tables, ZONE);
    let own = [job("flight_delay/features.sql"), job("carrier_daily/summary.sql")];
    for sql in own.iter().map(String::as_str).chain(QUERIES) {
        agree(sql, &tables, &mut server, ZONE);
    }
}

const QUERIES: [&str; 11] = [
    // The last known plane of each carrier and destination.
    "SELECT carrier, dest, tailnum, time_hour FROM (
         SELECT carrier, dest, tailnum, time_hour,
                ROW_NUMBER() OVER (PARTITION BY carrier, dest ORDER BY time_hour DESC, flight, tailnum) AS r
         FROM flights WHERE tailnum IS NOT NULL) AS q
     WHERE r = 1",
    // Sessions of a plane: a pause of more than six hours begins another.
    "WITH gaps AS (
         SELECT tailnum, time_hour, flight,
                time_hour - LAG(time_hour) OVER (PARTITION BY tailnum ORDER BY time_hour, flight) AS pause
         FROM flights WHERE tailnum IS NOT NULL),
     marked AS (
         SELECT tailnum, time_hour, flight, CASE WHEN pause IS NULL OR pause > INTERVAL '6 hours' THEN 1 ELSE 0 END AS begins FROM gaps),
     numbered AS (
         SELECT tailnum, time_hour, SUM(begins) OVER (PARTITION BY tailnum ORDER BY time_hour, flight) AS session FROM marked)
     SELECT tailnum, session, COUNT(*) AS flights, MIN(time_hour) AS first_at, EXTRACT(EPOCH FROM MAX(time_hour) - MIN(time_hour)) / 3600 AS hours
     FROM numbered GROUP BY tailnum, session",
    // A moving average of seven days, and the change to the day before.
    "WITH daily AS (SELECT flight_date, carrier, AVG(arr_delay) AS delay, COUNT(*) AS n FROM flights GROUP BY 1, 2)
     SELECT flight_date, carrier, n,
            AVG(delay) OVER (PARTITION BY carrier ORDER BY flight_date ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) AS delay_7d,
            n - LAG(n, 1, 0) OVER (PARTITION BY carrier ORDER BY flight_date) AS more
     FROM daily",
    // Cohorts: planes by the first day they were seen, and how many come back.
    "WITH first_seen AS (SELECT tailnum, MIN(flight_date) AS cohort FROM flights WHERE tailnum IS NOT NULL GROUP BY tailnum)
     SELECT s.cohort, f.flight_date - s.cohort AS day, COUNT(DISTINCT f.tailnum) AS planes
     FROM flights AS f JOIN first_seen AS s ON s.tailnum = f.tailnum
     GROUP BY s.cohort, f.flight_date - s.cohort",
    // Shares of a total, and of the part's own total.
    "SELECT origin, carrier, COUNT(*) AS n,
            ROUND(100.0 * COUNT(*) / SUM(COUNT(*)) OVER (PARTITION BY origin), 2) AS share_of_origin,
            COUNT(*) * 1.0 / (SELECT COUNT(*) FROM flights) AS share
     FROM flights GROUP BY origin, carrier HAVING COUNT(*) >= 5",
    // The weather report before each departure.
    "SELECT f.carrier, f.flight, f.origin, f.time_hour, f.dest,
            (SELECT w.temp FROM weather AS w WHERE w.origin = f.origin AND w.time_hour <= f.time_hour ORDER BY w.time_hour DESC LIMIT 1) AS temp
     FROM flights AS f WHERE f.flight_date = DATE '2013-06-03'",
    // A pivot by CASE and by FILTER.
    "SELECT dest,
            SUM(CASE WHEN origin = 'JFK' THEN 1 ELSE 0 END) AS jfk,
            SUM(CASE WHEN origin = 'LGA' THEN 1 END) AS lga,
            COUNT(*) FILTER (WHERE origin = 'EWR') AS ewr,
            AVG(arr_delay) FILTER (WHERE arr_delay > 0) AS late
     FROM flights GROUP BY dest",
    // Local hours, rush hours, weekends.
    "SELECT EXTRACT(HOUR FROM time_hour) AS hour, TO_CHAR(time_hour, 'FMDay') AS day, DATE_TRUNC('week', time_hour) AS week,
            COUNT(*) AS n, PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY arr_delay) AS p90,
            STRING_AGG(DISTINCT carrier, ',' ORDER BY carrier) AS carriers
     FROM flights WHERE EXTRACT(ISODOW FROM flight_date) IN (6, 7) OR time_hour::date = DATE '2013-06-05'
     GROUP BY 1, 2, 3",
    // Planes that never fly to where others of their age do.
    "SELECT p.tailnum, p.built FROM planes AS p
     WHERE EXISTS (SELECT 1 FROM flights AS f WHERE f.tailnum = p.tailnum)
       AND NOT EXISTS (SELECT 1 FROM flights AS f WHERE f.tailnum = p.tailnum AND f.distance > p.seats * 5)
       AND p.built > (SELECT AVG(q.built) FROM planes AS q)",
    // Bands by inequality, and what falls into none.
    "SELECT b.name, COUNT(f.flight) AS n, MIN(f.distance) AS nearest
     FROM (VALUES (0, 500, 'short'), (500, 1500, 'middle'), (1500, NULL, 'long'), (9000, 9999, 'none')) AS b(low, high, name)
     LEFT JOIN flights AS f ON f.distance >= b.low AND (f.distance < b.high OR b.high IS NULL)
     GROUP BY b.name",
    // Runs of late flights: gaps and islands.
    "WITH marked AS (
         SELECT carrier, flight, time_hour, arr_delay > 15 AS late,
                ROW_NUMBER() OVER (PARTITION BY carrier ORDER BY time_hour, flight, dest, sched_dep_time, tailnum)
              - ROW_NUMBER() OVER (PARTITION BY carrier, arr_delay > 15 ORDER BY time_hour, flight, dest, sched_dep_time, tailnum) AS island
         FROM flights)
     SELECT carrier, late, island, COUNT(*) AS n FROM marked GROUP BY carrier, late, island HAVING COUNT(*) > 3",
];
