"""The loop over days that a careful Python user writes: the model, the dimension tables and the connection are opened
once; each day is read from Parquet, scored, and replaced in one transaction.

    peer_year.py WORK sqlite|postgres    (BENCH_PG is the server)

Prints one line of JSON."""

import datetime
import json
import os
import sqlite3
import sys

import polars as pl
import xgboost as xgb

WORK, TARGET = sys.argv[1], sys.argv[2]
FEATURES = json.load(open(f"{WORK}/features.json"))
VOCABULARY = json.load(open(f"{WORK}/vocabulary.json"))
COLUMNS = "day date, flight_id bigint, carrier text, origin text, dest text, p_late real, model text"

weather = pl.read_parquet(f"{WORK}/year/weather.parquet").lazy()
planes = pl.read_parquet(f"{WORK}/year/planes.parquet").lazy()
booster = xgb.Booster(model_file=f"{WORK}/bundle/1/model.ubj")
booster.set_param({"nthread": os.cpu_count()})
booster.feature_names = None
codes = [pl.col(c).replace_strict({v: i for i, v in enumerate(VOCABULARY[c])}, default=None, return_dtype=pl.Int32)
         .alias(f"{c}_code") for c in ("carrier", "origin", "dest")]

if TARGET == "sqlite":
    connection = sqlite3.connect(f"{WORK}/year/peer.sqlite")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"CREATE TABLE IF NOT EXISTS peer_year ({COLUMNS})")
    connection.execute("CREATE INDEX IF NOT EXISTS peer_year_day ON peer_year (day)")
    connection.commit()
else:
    import adbc_driver_postgresql.dbapi as adbc
    connection = adbc.connect(os.environ["BENCH_PG"])
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE IF NOT EXISTS peer_year ({COLUMNS})")
        cursor.execute("CREATE INDEX IF NOT EXISTS peer_year_day ON peer_year (day)")
    connection.commit()

rows, day = 0, datetime.date(2013, 1, 1)
while day.year == 2013:
    frame = (
        pl.scan_parquet(f"{WORK}/year/data/{day}.parquet")
        .join(weather, on=["origin", "time_hour"], how="left")
        .join(planes, on="tailnum", how="left")
        .with_columns(*codes, (2013 - pl.col("built")).alias("plane_age"), pl.date(2013, "month", "day").dt.weekday().alias("weekday"))
        .select("flight_id", "carrier", "origin", "dest",
                *[pl.col(f"{f}_code" if f in VOCABULARY else f).cast(pl.Float32).alias(f"x_{f}") for f in FEATURES])
        .collect()
    )
    scores = booster.inplace_predict(frame.select(pl.col("^x_.*$")).to_numpy())
    out = frame.select(pl.lit(day).alias("day"), "flight_id", "carrier", "origin", "dest").with_columns(
        pl.Series("p_late", scores), pl.lit("flights@1").alias("model"))
    if TARGET == "sqlite":
        connection.execute("DELETE FROM peer_year WHERE day = ?", (str(day),))
        connection.executemany("INSERT INTO peer_year VALUES (?, ?, ?, ?, ?, ?, ?)",
                               out.with_columns(pl.col("day").cast(pl.String)).iter_rows())
    else:
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM peer_year WHERE day = '{day}'")
            cursor.adbc_ingest("peer_year", out.to_arrow(), mode="append")
    connection.commit()
    rows += out.height
    day += datetime.timedelta(days=1)
print(json.dumps({"rows": rows}))
