"""How words that mean a state are shown, everywhere."""

from typing import Final

LANE_STYLES: Final = {"critical": "bold red", "normal": "green", "low": "blue"}
"""How a lane's name is shown."""

QUALITY_STYLES: Final = {
    "excellent": "bold green",
    "good": "green",
    "fair": "yellow",
    "poor": "red",
    "lost": "bold red",
    "estimating": "dim",
}
"""How a connection's quality is shown."""

STATE_STYLES: Final = {
    "serving": "bold green",
    "draining": "yellow",
    "up": "green",
    "joining": "yellow",
    "stalled": "yellow",
    "away": "red",
}
"""How the state of a broker or of a peer is shown."""

HEALTH_STYLES: Final = {"ok": "bold green", "degraded": "bold yellow", "failing": "bold red"}
"""How health is shown."""
