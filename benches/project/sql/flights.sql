SELECT * FROM flights_big
