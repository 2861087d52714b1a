"""Settings of the whole suite; the Python in the README and the docs is run, page by page."""

from __future__ import annotations

from hypothesis import settings
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

# How long an example takes depends on what else the machine does.
settings.register_profile("metalscope", deadline=None)
settings.load_profile("metalscope")

pytest_collect_file = Sybil(
    parsers=[SkipParser(), PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md"],
).pytest()
