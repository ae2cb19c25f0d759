SELECT (time_hour AT TIME ZONE 'America/New_York')::date AS flight_date, carrier, dep_time, arr_delay
FROM flights
WHERE time_hour >= :start AND time_hour < :end
