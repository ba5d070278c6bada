"""Sphinx configuration."""

from pyg_setops import __version__

project = "pyg_setops"
author = "The pyg_setops authors"
copyright = "2026, The pyg_setops authors"
release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
napoleon_custom_sections = ["Shapes", "Cost"]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
# torch.nn.Module's own members would bury ours.
autodoc_default_options = {"members": True, "show-inheritance": True}
templates_path: list[str] = []
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "pyg_setops"
