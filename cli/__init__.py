"""The lanebus command."""
