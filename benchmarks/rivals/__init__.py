"""Message buses behind one interface: ours, bare sockets as the limit, and others that people use instead."""
