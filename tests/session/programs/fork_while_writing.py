"""Writes frames to FILE, with children that write to it too, as far as they can."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from any_snapshot import HEADER, a_session

from metalscope.session import SessionWriter

writer = SessionWriter(Path(sys.argv[1]), HEADER)
frames = a_session(4)
for frame in frames:
    writer.write(frame)
    child = os.fork()
    if not child:
        for another in a_session(20):
            writer.write(another)
        writer.close()
        os._exit(0)
    os.waitpid(child, 0)
writer.close()
