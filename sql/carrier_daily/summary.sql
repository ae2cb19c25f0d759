-- One row per carrier and day. A flight that never left has no dep_time; one that was diverted has no arr_delay.
SELECT
    flight_date,
    carrier,
    COUNT(*) AS flights,
    COUNT(*) - COUNT(dep_time) AS cancelled,
    AVG(CASE WHEN arr_delay > 15 THEN 1.0 WHEN arr_delay <= 15 THEN 0.0 END) AS share_late,
    AVG(arr_delay) AS mean_delay_minutes,
    PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY arr_delay) AS p90_delay_minutes
FROM flights
WHERE flight_date = :date
GROUP BY flight_date, carrier
