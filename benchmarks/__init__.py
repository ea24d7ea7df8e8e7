"""What lanebus costs, measured beside others on the same machine: `python -m benchmarks --help`."""
