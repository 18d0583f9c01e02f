"""A small made-up manual, as the extractor would give it: a page each, running lines and all."""

import hashlib

from server.manuals.documents import ManualText, OutlineEntry

FILLER = (
    "The machine stands level on a dry worktop, away from the edge and out of the reach of "
    "children. Its cord hangs free. "
)

PAGES = [
    "Brewster BX-40\nUser guide\n",
    """Brewster BX-40 User guide 2
Contents
Safety . . . . . . . . . . . . . . . . 3
Getting started . . . . . . . . . . . 4
Filling the tank . . . . . . . . . . 4
First rinse . . . . . . . . . . . . . 4
Descaling . . . . . . . . . . . . . . 5
Technical data . . . . . . . . . . . . 6
""",
    f"""Brewster BX-40 User guide 3
1 Safety
Read this guide before first use and keep it at hand.
Warning: The steam nozzle is hot after use. Never touch the nozzle while steam comes out of it.
{FILLER * 4}
""",
    f"""Brewster BX-40 User guide 4
2 Getting started
2.1 Filling the tank
Lift the lid of the water tank. Fill in fresh cold water up to the mark MAX.
The tank holds 1.8 litres. Put the tank back until it clicks.
2.2 First rinse
Rinse the machine before you brew your first cup. Put an empty bowl under the spout and press
the cup button twice. {FILLER * 3}
""",
    f"""Brewster BX-40 User guide 5
3 Descaling
The lamp CALC lights when the machine must be descaled, after about 300 cups.
• Mix 100 ml of descaler with one litre of water and fill it into the tank.
• Hold the button CALC for three seconds. The pump runs for twenty minutes.
• Rinse the tank twice with fresh water.
Caution: Do not use vinegar, for it harms the seals.
{FILLER * 4}
""",
    """Brewster BX-40 User guide 6
4 Technical data
Mains voltage    230 V, 50 Hz
Power    1450 W
Pump pressure    15 bar
Wi-Fi    2.4 GHz
""",
]

OUTLINE = (
    OutlineEntry("Contents", 2, 0),
    OutlineEntry("Safety", 3, 0),
    OutlineEntry("Getting started", 4, 0),
    OutlineEntry("Filling the tank", 4, 1),
    OutlineEntry("First rinse", 4, 1),
    OutlineEntry("Descaling", 5, 0),
    OutlineEntry("Technical data", 6, 0),
)


def make_manual(pages=PAGES, outline=()):
    text = "\f".join(pages)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return ManualText("manual", text, sha256, "Guide", 0.0, outline=tuple(outline))
