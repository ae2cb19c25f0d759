"""What a careful Python user writes for files: Polars -> XGBoost -> Parquet or SQLite, or DuckDB -> ONNX Runtime -> Parquet.

    peer_files.py WORK score | duckdb | sqlite

score    features.parquet, scored, to Parquet
duckdb   the same with DuckDB and ONNX Runtime
sqlite   three tables joined, scored, to SQLite by ADBC
"""

import json
import os
import sys
import time

import polars as pl

WORK, MODE = sys.argv[1], sys.argv[2]
FEATURES = json.load(open(f"{WORK}/features.json"))
VOCABULARY = json.load(open(f"{WORK}/vocabulary.json"))
MODEL = f"{WORK}/bundle/1/model.ubj"
started = time.perf_counter()


def coded():
    code = lambda c: pl.col(c).replace_strict({v: i for i, v in enumerate(VOCABULARY[c])}, default=None, return_dtype=pl.Int32)
    return [(code(f) if f in VOCABULARY else pl.col(f)).cast(pl.Float32).alias(f"x_{f}") for f in FEATURES]


def predict(matrix):
    import xgboost as xgb

    booster = xgb.Booster(model_file=MODEL)
    booster.set_param({"nthread": os.cpu_count()})
    booster.feature_names = None
    return booster.inplace_predict(matrix)


if MODE == "score":
    frame = pl.scan_parquet(f"{WORK}/files/features.parquet").select("flight_id", *coded()).collect(engine="streaming")
    scores = predict(frame.select(pl.col("^x_.*$")).to_numpy())
    frame.select("flight_id", pl.Series("score", scores)).write_parquet(f"{WORK}/files/peer.parquet")
elif MODE == "duckdb":
    import duckdb
    import numpy as np
    import onnxruntime
    import pyarrow as pa
    import pyarrow.parquet as pq

    case = lambda c: f"CASE {c} " + " ".join(f"WHEN '{v}' THEN {i}" for i, v in enumerate(VOCABULARY[c])) + " END"
    columns = ", ".join(f"CAST({case(f) if f in VOCABULARY else f} AS FLOAT) AS x_{f}" for f in FEATURES)
    table = duckdb.sql(f"SELECT flight_id, {columns} FROM '{WORK}/files/features.parquet'").fetchnumpy()
    matrix = np.column_stack([np.ma.filled(table[f"x_{f}"].astype(np.float32), np.nan) for f in FEATURES])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    session = onnxruntime.InferenceSession(f"{WORK}/files/model.onnx", options, providers=["CPUExecutionProvider"])
    scores = session.run(["probabilities"], {"x": matrix})[0][:, 1]
    pq.write_table(pa.table({"flight_id": table["flight_id"], "score": scores}), f"{WORK}/files/peer_duckdb.parquet")
else:
    import adbc_driver_sqlite.dbapi as adbc

    scan = lambda name: pl.scan_parquet(f"{WORK}/files/{name}.parquet")
    frame = (
        scan("flights")
        .join(scan("weather"), on=["origin", "time_hour"], how="left")
        .join(scan("planes"), on="tailnum", how="left")
        .with_columns((2013 - pl.col("built")).alias("plane_age"), pl.date(2013, "month", "day").dt.weekday().alias("weekday"))
        .select("flight_id", "carrier", "origin", "dest", *coded())
        .collect(engine="streaming")
    )
    scores = predict(frame.select(pl.col("^x_.*$")).to_numpy())
    out = frame.select("flight_id", "carrier", "origin", "dest").with_columns(
        pl.Series("p_late", scores), pl.lit("flights@1").alias("model"))
    with adbc.connect(f"{WORK}/files/peer.sqlite") as connection:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS peer_scores (flight_id INTEGER, carrier TEXT, origin TEXT, dest TEXT, p_late REAL, model TEXT)")
            cursor.execute("DELETE FROM peer_scores")
            cursor.adbc_ingest("peer_scores", out.to_arrow(), mode="append")
        connection.commit()
print(json.dumps({"seconds": time.perf_counter() - started}))
