"""What game processes import: the server, client and gateway adapters, each a thin driver over one core."""
