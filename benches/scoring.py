"""Scoring alone, in memory: the libraries' own predict beside ours, on the libraries' own models.

Called by benches/run.sh. Prints Markdown: thousands of rows per second, and the ratio to the fastest the library has.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

WORK = Path(sys.argv[1]) / "scoring"
BENCH = os.environ["DAYMILL_SCORING_BENCH"]
ROWS, WIDTH, TRAIN = int(os.environ.get("BENCH_ROWS", 200_000)), 32, 30_000


def table(rows, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, WIDTH)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + x[:, 3] + random.normal(size=rows) > 0).astype(int)
    x[random.random(x.shape) < 0.03] = np.nan
    return x, y


def best(call, rounds=5):
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        out = call()
        times.append(time.perf_counter() - started)
    return ROWS / min(times), out


def ours(model, threads):
    told = subprocess.run([BENCH, str(model), str(WORK / "rows.parquet"), str(threads)], check=True, capture_output=True, text=True)
    return json.loads(told.stdout)


def onnx(model, name, threads, x):
    path = WORK / f"{name}.onnx"
    if not path.exists():
        convert = convert_lightgbm if isinstance(model, lgb.Booster) else convert_xgboost
        made = convert(model, initial_types=[("x", FloatTensorType([None, WIDTH]))], target_opset=15)
        path.write_bytes(made.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # ZipMap would make a dictionary of every row; only the tensor is asked for where there is one.
    return best(lambda: session.run([session.get_outputs()[0].name], {"x": x}), 3)[0]


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    x, y = table(TRAIN, 1)
    shown, _ = table(ROWS, 2)
    pq.write_table(pa.table({f"f{i}": shown[:, i] for i in range(WIDTH)}), WORK / "rows.parquet")
    data = xgb.DMatrix(x, y)
    parameters = {"objective": "binary:logistic", "tree_method": "hist", "seed": 1}
    models = {
        "XGBoost, 500 trees of depth 6": xgb.train(parameters | {"max_depth": 6, "eta": 0.1}, data, 500),
        "XGBoost, 100 trees of 511 leaves": xgb.train(
            parameters | {"max_depth": 0, "max_leaves": 511, "grow_policy": "lossguide", "eta": 0.1, "min_child_weight": 0}, data, 100),
        "XGBoost, forest of 100 trees of depth 12": xgb.train(
            parameters | {"max_depth": 12, "num_parallel_tree": 100, "subsample": 0.7, "colsample_bynode": 0.4, "eta": 1.0}, data, 1),
        "LightGBM, 500 trees of 63 leaves": lgb.train(
            {"objective": "binary", "num_leaves": 63, "verbose": -1, "seed": 1}, lgb.Dataset(x, y), 500),
        "LightGBM, 100 trees of 511 leaves": lgb.train(
            {"objective": "binary", "num_leaves": 511, "min_data_in_leaf": 2, "verbose": -1, "seed": 1}, lgb.Dataset(x, y), 100),
    }
    print(f"\n{ROWS:,} rows of {WIDTH} features, 3 % of them missing; thousands of rows per second, best of 5\n")
    print("| model | threads | library | ONNX Runtime | Daymill | to the library | to ONNX Runtime | kernel |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for title, model in models.items():
        name = title.replace(" ", "_").replace(",", "")
        path = WORK / f"{name}{'.txt' if isinstance(model, lgb.Booster) else '.ubj'}"
        model.save_model(path)
        for threads in (1, 2):
            if isinstance(model, lgb.Booster):
                rate, out = best(lambda: model.predict(shown, num_threads=threads))
            else:
                model.set_param({"nthread": threads})
                rate, out = best(lambda: model.inplace_predict(shown))
            try:
                runtime = onnx(model, name, threads, shown)
            except Exception as error:
                print(f"ONNX Runtime, {title}: {error}", file=sys.stderr)
                runtime = float("nan")
            mine = ours(path, threads)
            found = mine["rows_per_second"]
            assert abs(mine["sum"] - float(np.sum(out))) < 1e-4 * ROWS, (mine["sum"], float(np.sum(out)))
            print(f"| {title} | {threads} | {rate / 1e3:.0f} | {runtime / 1e3:.0f} | {found / 1e3:.0f} | "
                  f"{found / rate:.1f} | {found / runtime:.1f} | {mine['kernel']} |", flush=True)


main()
