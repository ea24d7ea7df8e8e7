"""A small arena game: a server that owns the world, and bots that play in it, talking over the bus."""
