"""What Sphinx has to know. Nothing here may depend on the day, the machine or a network."""

from aoc_migrate import __version__

project = "aoc-migrate"
extensions = ["myst_parser"]
nitpicky = True  # a reference that leads nowhere is an error
myst_heading_anchors = 6

html_theme = "furo"
html_title = f"{project} {__version__}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_use_index = False
html_domain_indices = False
html_last_updated_fmt = None
html_show_copyright = False
