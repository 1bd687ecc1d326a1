"""How the documentation is built: ``make docs``. Nothing here needs the network."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "bayes_rare"
author = "The bayes_rare developers"
copyright = author
version = release = version_of("bayes-rare")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "from_files",
]
exclude_patterns = ["_*", "conf.py", "jupyter_execute"]
templates_path = ["_templates"]

html_theme = "furo"
html_title = f"bayes_rare {release}"
html_static_path = ["_static"]
html_css_files = ["notebooks.css"]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
# What a module offers is what it names in __all__.
autosummary_ignore_module_all = False
numpydoc_show_class_members = False
python_maximum_signature_line_length = 88

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

# Tutorials are Python files in percent format. They run when Sphinx reads them: in a
# fresh build, and when they change. What they write goes into a temporary folder.
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 3600  # a cell: one asks a language model thousands of times
nb_execution_raise_on_error = True
nb_merge_streams = True
# Progress and log lines are not for readers; warnings fail tests/test_examples.py.
nb_output_stderr = "remove"

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
