"""Python starts with this where it is on ``PYTHONPATH``; the packages named are then not there."""

import os
import sys

PACKAGES = os.environ["NOT_INSTALLED"].split(",")


class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in PACKAGES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NotInstalled())
