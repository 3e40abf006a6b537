"""The pages as a site: `pip install '.[docs]' && sphinx-build -W -c docs . site`, in the checkout."""

project = "tsn"
author = "the tsn developers"
root_doc = "docs/index"
extensions = ["myst_parser"]
include_patterns = ["*.md", "docs/*.md", "benchmarks/*.md", "benchmarks/results/*.md"]
html_theme = "furo"
html_extra_path = ["index.html"]  # at the root of the site: leads to docs/index.html
html_title = "tsn"
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a page of results may begin below the first level
