"""Metrics of several workers, gathered through files: whoever is scraped answers for all.

prometheus-client decides at its import whether it counts in files, so this runs before anything
imports it and imports nothing of it itself.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics(data_dir: Path) -> None:
    """Have the metrics of this process and its workers counted in files below `data_dir`.

    The files of an earlier run are removed: a counter begins at zero with its server.
    """
    folder = data_dir / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink()
    os.environ[VARIABLE] = str(folder)
