"""Configuration: the typed model, its loader and the default file."""
