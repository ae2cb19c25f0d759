SELECT tailnum, built, seats, engines FROM planes
