"""Writes frames to FILE until the file may not grow any more, and says how many there are."""

import resource
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from any_snapshot import HEADER, a_session

from metalscope.session import SessionWriter

# Compiled code cut short, which no import could read, must not be left behind.
sys.dont_write_bytecode = True
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
writer = SessionWriter(Path(sys.argv[1]), HEADER)
try:
    for frame in a_session(200):
        writer.write(frame)
except OSError as error:
    writer.write(frame)
    writer.close()
    print(f"{error.strerror} after {writer.frames}")
