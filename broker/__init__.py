"""The broker: a core without I/O, and a thin driver that owns its sockets, clock and signals."""
