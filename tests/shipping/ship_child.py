"""A program that ships lines to a file that stands for a peer, until it is killed.

Arguments: the directory of the spool, the peer's file, the first number. It says on its standard
output how many lines are kept on disk so far.
"""

from __future__ import annotations

import os
import random
import sys
from itertools import count
from pathlib import Path

from ship_peers import DOWN, Answer, Peer, delivery, lines, shipping

from metalscope.sending.shipping.base import Batch, Shipment

BATCH = 50


class FilePeer(Peer):
    """Fails half of the time; what it takes it adds to a file, by one write."""

    def __init__(self, path: Path, failing: float) -> None:
        super().__init__()
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._failing = failing

    def send(self, batch: Batch) -> Answer:
        dice = random.random()
        if dice < self._failing / 2:
            return DOWN
        taken = len(batch.records)
        if dice < self._failing:
            taken //= 2
        told = "".join(f"{batch.id} {line.decode()}\n" for line in batch.records[:taken])
        os.write(self._file, told.encode())
        return Shipment(again=range(taken, len(batch.records)))


def main() -> None:
    spool, peer, first = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    with shipping(FilePeer(peer, 0.5), delivery(spool), batch_size=BATCH) as shipper:
        for number in count(first, 20):
            shipper.put(lines(20, number))
            if shipper.keep(10):
                os.write(1, b"%d\n" % (number + 20))


if __name__ == "__main__":
    main()
