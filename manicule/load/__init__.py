"""Open-loop load on a server that speaks `manicule.v1`: questions come when they are due.

A question that the server (or this program) is late for counts from when it was due, so that a
server that stalls cannot hide the questions that it kept from being asked.
"""

from manicule.load.figures import Figures, Summary
from manicule.load.generator import Generator
from manicule.load.plan import LoadPlan, arrivals

__all__ = ["Figures", "Generator", "LoadPlan", "Summary", "arrivals"]
