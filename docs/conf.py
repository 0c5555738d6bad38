"""The pages of docs/ as a site. `python docs/site/build.py` builds it; README says what for."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "site"))

project = "minigrad"
extensions = ["myst_nb", "sphinx_design", "sphinx_copybutton", "pages"]
html_theme = "furo"
html_static_path = ["site/static"]
exclude_patterns = ["steps", "pictures", "site"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # course/run.py runs the cells and compares what the page says
suppress_warnings = ["myst.xref_missing"]  # links to source files, which are no pages
