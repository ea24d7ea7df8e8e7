"""What both sides of a socket must agree on: no sockets, no clocks, no threads."""
