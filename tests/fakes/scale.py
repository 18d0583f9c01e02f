"""How much the long tests do: `make test-faults-long ARGS="CLIENTS=500 SEED=7"`.

Each is the variable `MANICULE_TEST_<NAME>`. The short tests have their own, fixed numbers.
"""

import os


def scale(name: str, default: int) -> int:
    """The number of that name, which `make` gives, or the default of the nightly run."""
    return int(os.environ.get(f"MANICULE_TEST_{name}", default))


SEED = scale("SEED", 1)
CLIENTS = scale("CLIENTS", 200)
STORM = scale("STORM", 1000)  # clients that are cut at once
STALLED = scale("STALLED", 500)  # clients that read nothing
CUTS = scale("CUTS", 200)  # places at which an answer is cut
ROLLS = scale("ROLLS", 20)  # rolling restarts of all nodes
MINUTES = scale("MINUTES", 60)  # of the soak
