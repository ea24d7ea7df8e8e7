"""An attachment's core while it is up: what leaves when, control in few messages, goodbyes."""

import pytest

from lanebus.adapters.actions import HangUp, State
from lanebus.adapters.errors import Closed
from lanebus.adapters.requests import Request
from lanebus.wire.kinds import Kind
from lanebus.wire.lanes import LANES, Lane
from lanebus.wire.messages import Ack, Done, Leave, Pause, Settle, Settlement
from lanebus.wire.outcomes import Outcome, Reason
