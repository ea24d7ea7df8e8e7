"""A small arena game: a server that owns the worlds, and bots that play in it, talking over the bus."""
