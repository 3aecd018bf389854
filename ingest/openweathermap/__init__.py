"""OpenWeatherMap over PycURL: places in, observations out."""
