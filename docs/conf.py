"""The pages of docs/ as a site. `python docs/site/build.py` builds it; README says what for."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "site"))

project = "minigrad"
html_title = "minigrad"
extensions = ["myst_nb", "sphinx_design", "sphinx_copybutton"]
extensions += ["pages", "formulas", "sources", "notebooks", "exercises", "reference"]  # docs/site/
exclude_patterns = ["steps", "pictures", "site"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # course/run.py runs the cells and compares what the page says

html_theme = "furo"
html_math_renderer = "katex"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_js_files = [("scrolling.js", {"type": "module"})]
html_favicon = "site/static/icon.svg"
html_copy_source = False
html_show_copyright = False
html_domain_indices = False
pygments_style = "a11y-light"
pygments_dark_style = "a11y-dark"
copybutton_selector = ".cell_input pre, section > div[class*=highlight-]:not(.highlight-diff) pre"
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {
        "code-font-size": "0.8125rem",
        "color-inline-code-background": "#f2f2f2",
        "picture-brightness": "1",
        "color-added": "#0a5c2f",
        "color-added-background": "#dff3e4",
        "color-removed": "#9c1c1c",
        "color-removed-background": "#fbe4e4",
    },
    "dark_css_variables": {
        "color-inline-code-background": "#2b2b2b",
        "picture-brightness": "0.88",
        "color-added": "#7ee2a0",
        "color-added-background": "#12301c",
        "color-removed": "#ffaba8",
        "color-removed-background": "#3b1718",
    },
}
