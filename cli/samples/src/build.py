# /// script
# requires-python = ">=3.9"
# dependencies = ["typst==0.15.2"]
# ///
"""Sets energy-audit.typ as ../energy-audit.pdf, with the fonts that come with Typst and no others.

From the repository's root: uv run cli/samples/src/build.py
"""

from pathlib import Path

import typst

here = Path(__file__).resolve().parent
typst.compile(
    here / "energy-audit.typ",
    output=here.parent / "energy-audit.pdf",
    ignore_system_fonts=True,
)
