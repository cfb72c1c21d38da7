# SPDX-License-Identifier: GPL-2.0-only
"""How Sphinx builds the documents; "make htmldocs" does it."""
# pylint: disable=invalid-name

project = "nvme-vfio-pci"
project_copyright = "the nvme-vfio-pci authors"

extensions = []
exclude_patterns = ["output"]
highlight_language = "none"
# What ".. only:: project" holds is not in the documents for a kernel tree
tags.add("project")  # noqa: F821 # pylint: disable=undefined-variable

html_theme = "alabaster"
html_theme_options = {
    "page_width": "1100px",
    "body_max_width": "none",
    "sidebar_width": "230px",
    "description": "Live migration of NVMe virtual functions",
    "fixed_sidebar": True,
}
html_copy_source = False
