"""Draw the pictures of reports' pages in docs/images from traces, with a headless Chromium.

    datacrumbs record --no-report --site grid.yaml -o grid.pfw.gz mpirun.openmpi -n 4 python3 grid.py grid.h5
    .venv/bin/python scripts/pictures.py page-h5py=grid.pfw.gz page-timeline=grid.pfw.gz

Each argument is the name of a picture and the trace that it shows. A picture whose name ends in `timeline` has the
first of the most expensive windows, in the dark; any other the beginning of the page. Look at each before it is kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from datacrumbs.commands.report import COMMAND

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/readers"))
from browser import Browser  # noqa: E402 - the driver of the tests, which are no package

IMAGES = ROOT / "docs/images"
WIDTH, HEIGHT, MARGIN = 1200, 1420, 20
TIMELINE = """
(() => {
  const edges = (name) => document.querySelector(name).getBoundingClientRect();
  return [edges("#windows-heading").top + scrollY, edges("#timeline").bottom + scrollY];
})()
"""
"""Where the heading of the windows begins and the first of them ends."""


def draw(opened: Any, name: str, page: Path) -> None:
    """Write one picture."""
    timeline = name.endswith("timeline")
    opened.open(page, WIDTH, dark=timeline)
    if complaints := opened.complaints():
        raise SystemExit(f"{name}: {'; '.join(complaints)}")
    place = IMAGES / f"{name}.png"
    if timeline:
        top, bottom = (round(edge) for edge in opened.evaluate(TIMELINE))
        opened.screenshot(place, bottom - top + 2 * MARGIN, top - MARGIN)
    else:
        opened.screenshot(place, HEIGHT)
    print(place.relative_to(ROOT))


def main() -> None:
    """Draw what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", metavar="NAME=TRACE")
    with tempfile.TemporaryDirectory() as directory, Browser() as opened:
        for picture in parser.parse_args().pictures:
            name, _, trace = picture.partition("=")
            page = Path(directory, f"{name}.html")
            COMMAND.run([trace, "--html", str(page)])
            draw(opened, name, page)


if __name__ == "__main__":
    main()
