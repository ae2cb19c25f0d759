-- One row per run, lane and read, with what the laboratory asks of them.
SELECT
    sequencing_run,
    lane,
    read,
    instrument,
    cluster_density,
    cluster_pf,
    q30,
    phix_error,
    phix_aligned,
    yield_gb,
    duplication,
    cluster_density BETWEEN 170 AND 220 AS density_recommended,
    finished_at
FROM lanes
