"""The pipeline that a careful Python user writes: ADBC -> Polars -> XGBoost -> ADBC COPY, one transaction.

    peer.py WORK    (BENCH_PG is the server; WORK holds model.ubj and vocabulary.json)

Prints one line of JSON: seconds per stage and rows."""

import json
import os
import sys
import time

import adbc_driver_postgresql.dbapi as adbc
import polars as pl
import xgboost as xgb

WORK = sys.argv[1]
FEATURES = json.load(open(f"{WORK}/features.json"))
VOCABULARY = json.load(open(f"{WORK}/vocabulary.json"))
seconds, mark = {}, time.perf_counter()


def lap(stage):
    global mark
    now = time.perf_counter()
    seconds[stage], mark = now - mark, now


connection = adbc.connect(os.environ["BENCH_PG"])


def query(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return pl.from_arrow(cursor.fetch_arrow_table())


flights, weather, planes = (query(f"SELECT * FROM {t}") for t in ("flights_big", "weather", "planes"))
lap("extract")

codes = [pl.col(c).replace_strict({v: i for i, v in enumerate(VOCABULARY[c])}, default=None, return_dtype=pl.Int32)
         .alias(f"{c}_code") for c in ("carrier", "origin", "dest")]
frame = (
    flights.lazy()
    .join(weather.lazy(), on=["origin", "time_hour"], how="left")
    .join(planes.lazy(), on="tailnum", how="left")
    .with_columns(*codes, (2013 - pl.col("built")).alias("plane_age"),
                  pl.date(2013, "month", "day").dt.weekday().alias("weekday"))
    .select("flight_id", "carrier", "origin", "dest",
            *[pl.col(f"{f}_code" if f in VOCABULARY else f).cast(pl.Float32).alias(f"x_{f}") for f in FEATURES])
    .collect(engine="streaming")
)
matrix = frame.select(pl.col("^x_.*$")).to_numpy()
lap("transform")

booster = xgb.Booster(model_file=f"{WORK}/bundle/1/model.ubj")
booster.set_param({"nthread": os.cpu_count()})
booster.feature_names = None
scores = booster.inplace_predict(matrix)
lap("score")

out = frame.select("flight_id", "carrier", "origin", "dest").with_columns(
    pl.Series("p_late", scores), pl.lit("flights@1").alias("model"))
with connection.cursor() as cursor:
    cursor.execute("DELETE FROM peer_scores")
    cursor.adbc_ingest("peer_scores", out.to_arrow(), mode="append")
connection.commit()
lap("load")
print(json.dumps({"seconds": seconds, "rows": out.height}))
