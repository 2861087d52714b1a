"""What works on this machine, what does not, and what to do about it: ``metalscope doctor``.

A check is a function that yields a :class:`Diagnosis` for each thing it looked at. Every check runs
in a process of its own with a deadline, so that a library that hangs or ends its process harms
nothing else. Which checks there are is told by :mod:`metalscope.doctor.plan`.
"""

from metalscope.doctor.diagnosis import SCHEMA_VERSION, Diagnosis, Examination, State
from metalscope.doctor.examine import examine

__all__ = ["SCHEMA_VERSION", "Diagnosis", "Examination", "State", "examine"]
