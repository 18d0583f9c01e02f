"""Collects PDFs from Debian documentation packages into benchmarks/data, for bench-extraction.

Needs Debian or a relative of it: `apt-get download` (no root) and `dpkg-deb`. Nothing is installed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DATA = Path(__file__).parent / "data"
PACKAGES = (
    "gnuplot-doc",
    "lilypond-doc-pdf",
    "maxima-doc",
    "texlive-latex-base-doc",
    "octave-doc",
    "r-doc-pdf",
    "asymptote-doc",
    "valgrind",
    "pari-doc",
    "auctex",
)
"""Asked for one by one; those without PDFs or no longer in the archive are said so and left out."""
LARGEST_BYTES = 50 * 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", help="packages to use instead of the built-in list")
    parser.add_argument("--folder", type=Path, default=DATA, help="where the PDFs go")
    given = parser.parse_args()
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"Cannot collect PDFs: {' and '.join(missing)} not found (Debian is needed).")
    given.folder.mkdir(parents=True, exist_ok=True)
    found = sum(collect(package, given.folder) for package in given.packages or PACKAGES)
    if not found:
        sys.exit("No PDF was collected: is a Debian mirror configured and `apt-get update` done?")
    print(f"{found} PDFs in {given.folder}")


def collect(package: str, folder: Path) -> int:
    """Download one package, keep its PDFs as package--name.pdf; return how many."""
    with tempfile.TemporaryDirectory() as work:
        Path(work).chmod(0o755)  # for apt, which downloads as a user of its own
        done = subprocess.run(
            ["apt-get", "download", "-q", package],
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        archives = list(Path(work).glob("*.deb"))
        if done.returncode or not archives:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            print(f"{package}: cannot be downloaded: {lines[-1]}")
            return 0
        subprocess.run(["dpkg-deb", "-x", str(archives[0]), f"{work}/x"], check=True)
        kept = 0
        for path in sorted(Path(work, "x").rglob("*.pdf*")):
            kept += keep(path, folder / f"{package}--{path.name.removesuffix('.gz')}")
        print(f"{package}: {kept} PDFs" if kept else f"{package}: holds no PDF")
        return kept


def keep(path: Path, target: Path) -> bool:
    """Copy a PDF, unpacked if it is compressed; False for what is none or too large."""
    if path.is_symlink() or not path.is_file():
        return False
    data = path.read_bytes()
    if path.suffix == ".gz":
        import gzip

        data = gzip.decompress(data)
    if not data.startswith(b"%PDF-") or len(data) > LARGEST_BYTES:
        return False
    target.write_bytes(data)
    return True


if __name__ == "__main__":
    main()
