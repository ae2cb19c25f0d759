-- One row per scheduled flight of the day, with what a scheduler knows before departure.
-- Over the tables flights (the day and the seven before it), weather and planes.
WITH history AS (
    SELECT carrier, dest, arr_delay
    FROM flights
    WHERE flight_date < :date AND arr_delay IS NOT NULL
),
carrier_history AS (
    SELECT
        carrier,
        AVG(CASE WHEN arr_delay > 15 THEN 1.0 ELSE 0.0 END) AS carrier_late_7d,
        AVG(arr_delay) AS carrier_delay_7d
    FROM history
    GROUP BY carrier
),
dest_history AS (
    SELECT
        dest,
        AVG(CASE WHEN arr_delay > 15 THEN 1.0 ELSE 0.0 END) AS dest_late_7d,
        AVG(arr_delay) AS dest_delay_7d
    FROM history
    GROUP BY dest
)
SELECT
    f.flight_date,
    f.carrier,
    f.flight,
    f.origin,
    f.sched_dep_time,
    f.dest,
    -- schedule and calendar
    f.hour * 60 + f.minute AS sched_dep_minute,
    f.sched_arr_time / 100 * 60 + f.sched_arr_time % 100 AS sched_arr_minute,
    f.distance,
    EXTRACT(isodow FROM f.flight_date) AS weekday,
    EXTRACT(day FROM f.flight_date) AS day_of_month,
    -- weather at the origin in the hour of departure
    w.temp,
    w.dewp,
    w.humid,
    w.wind_dir,
    w.wind_speed,
    w.wind_gust,
    w.precip,
    w.pressure,
    w.visib,
    -- the aircraft
    EXTRACT(year FROM f.flight_date) - p.built AS plane_age,
    p.seats,
    p.engines,
    -- how late this carrier and this destination ran over the seven days before
    c.carrier_late_7d,
    c.carrier_delay_7d,
    d.dest_late_7d,
    d.dest_delay_7d
FROM flights AS f
LEFT JOIN weather AS w ON f.origin = w.origin AND f.time_hour = w.time_hour
LEFT JOIN planes AS p ON f.tailnum = p.tailnum
LEFT JOIN carrier_history AS c ON f.carrier = c.carrier
LEFT JOIN dest_history AS d ON f.dest = d.dest
WHERE f.flight_date = :date
