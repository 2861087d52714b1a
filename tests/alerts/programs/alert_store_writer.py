"""Keeps alerts until it is killed: says its process id, then the number of each that is written.

The alert ``n`` is in one change with the silence ``n``, with ``n`` in the document ``n``, and with
the message ``n``, which takes the place of the one before.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from alert_stores import alert, message, opened, silence

from metalscope.alerts.storing import Change


def say(what: object) -> None:
    # In one piece, or not at all.
    os.write(1, f"{what}\n".encode())


def main() -> None:
    say(os.getpid())
    store = opened(Path(sys.argv[1]))
    number = int(sys.argv[2])
    while True:
        number += 1
        store.keep(
            Change(
                alerts=[alert(number)],
                silences=[silence(number)],
                documents={"n": number},
                messages=[message(number)],
                sent=[f"message {number - 1}"],
                samples=[("n", float(number), 1.0)],
            )
        )
        if number % 3 == 0:
            assert store.flush(30)
            say(number)


if __name__ == "__main__":
    main()
