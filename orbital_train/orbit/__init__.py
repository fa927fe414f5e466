"""Where every satellite and ground site is, and where the Sun is: numpy, sgp4 and skyfield only."""
