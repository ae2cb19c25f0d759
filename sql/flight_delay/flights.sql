-- The departures of the span, by the day of New York. time_hour is an instant; the day is the local one.
SELECT
    (time_hour AT TIME ZONE 'America/New_York')::date AS flight_date,
    carrier, flight, tailnum, origin, dest, sched_dep_time, sched_arr_time, arr_delay, distance, hour, minute, time_hour
FROM flights
WHERE time_hour >= :start AND time_hour < :end
