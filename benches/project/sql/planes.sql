SELECT * FROM planes
