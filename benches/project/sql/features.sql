SELECT
    f.flight_id, f.carrier, f.origin, f.dest,
    f.sched_dep_time, f.sched_arr_time, f.distance, f.hour, f.minute, f.month,
    -- The ISO weekday of a date of 2013, from the day of the year; January 1 was a Tuesday.
    (275 * f.month // 9 - 2 * ((f.month + 9) // 12) + f.day - 30) % 7 + 1 AS weekday,
    w.temp, w.dewp, w.humid, w.wind_dir, w.wind_speed, w.wind_gust, w.precip, w.pressure, w.visib,
    2013 - p.built AS plane_age, p.seats, p.engines
FROM flights AS f
LEFT JOIN weather AS w ON f.origin = w.origin AND f.time_hour = w.time_hour
LEFT JOIN planes AS p ON f.tailnum = p.tailnum
