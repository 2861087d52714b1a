"""Put numbers into a spool as fast as it goes, and say each when that has returned.

    spool_writer.py DIRECTORY FIRST append      only that
    spool_writer.py DIRECTORY FIRST deliver     and deliver two of three, said before they are over
    spool_writer.py DIRECTORY FIRST slots       in the first free slot below DIRECTORY
    spool_writer.py DIRECTORY FIRST full        a hundred, the files limited to 4 KiB for sixty
    spool_writer.py DIRECTORY FIRST fork        ten, and ten more after a child has tried to

What is said are eight bytes on standard output, a letter and a number: ``a`` appended, ``d``
delivered. The standard output is to be a file, so that nothing that was said is lost with the
process.
"""

from __future__ import annotations

import itertools
import os
import resource
import struct
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from metalscope.sending.spool.disk import DiskSpool
from metalscope.sending.spool.lock import SpoolInUseError
from metalscope.sending.spool.slots import SpoolSlots

ROOM = {"max_bytes": 64 * 1024**2, "max_age": timedelta(hours=1)}


def say(letter: bytes, number: int) -> None:
    os.write(1, struct.pack("<cxxxI", letter, number))


def payload(number: int) -> bytes:
    return struct.pack("<I", number) + bytes(number % 700)


def put(spool: DiskSpool, number: int) -> None:
    spool.append(payload(number), datetime.now(UTC))
    say(b"a", number)


def deliver(spool: DiskSpool) -> None:
    one = spool.first()
    assert one is not None
    say(b"d", struct.unpack_from("<I", one.data)[0])
    spool.done(one.sequence, delivered=True)


def full(spool: DiskSpool, first: int) -> None:
    # Compiled code cut short, which no import could read, must not be left behind.
    sys.dont_write_bytecode = True
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    for number in range(first, first + 60):
        put(spool, number)
    assert spool.stats.disk_error == os.strerror(27), spool.stats  # EFBIG
    assert spool.stats.waiting == 60, spool.stats
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    for number in range(first + 60, first + 100):
        put(spool, number)
    assert spool.stats.disk_error is None, spool.stats
    os._exit(0)  # not closed: all must be there already


def fork(spool: DiskSpool, first: int) -> None:
    for number in range(first, first + 10):
        put(spool, number)
    child = os.fork()
    if child == 0:
        assert spool.stats.waiting == 0
        assert spool.first() is None
        spool.append(b"the child's", datetime.now(UTC))
        spool.replace_all(b"the child's", datetime.now(UTC))
        spool.done(1, delivered=True)
        try:
            DiskSpool(spool.directory, **ROOM)
        except SpoolInUseError:
            spool.close()
            os._exit(0)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for number in range(first + 10, first + 20):
        put(spool, number)
    spool.close()


def main() -> None:
    directory, first, what = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if what == "slots":
        spool = SpoolSlots(directory, "a", **ROOM).open()
    else:
        spool = DiskSpool(directory, **ROOM)
    if what in {"full", "fork"}:
        {"full": full, "fork": fork}[what](spool, first)
        return
    for number in itertools.count(first):
        put(spool, number)
        if what == "deliver" and number % 3:
            deliver(spool)
        if what == "slots":
            time.sleep(0.001)


if __name__ == "__main__":
    main()
