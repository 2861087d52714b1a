"""Several processes of one program, seen as one.

Each process keeps a file of what it counted in a directory they share. Whoever serves reads all
files and adds them up, those of ended processes included, so that nothing is counted twice and
nothing is lost when a worker ends.
"""

from metalscope.processes.directory import ProcessDirectory, ProcessFile
from metalscope.processes.group import ProcessGroup

__all__ = ["ProcessDirectory", "ProcessFile", "ProcessGroup"]
