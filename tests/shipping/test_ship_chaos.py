"""A hundred thousand lines through a sink that fails, stalls, refuses, takes parts, and dies."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from ship_child import BATCH, FilePeer
from ship_peers import Answer, Peer, accounted, delivery, lines, shipping, taken

from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.shipping import shipper as shipper_module
from metalscope.sending.shipping.base import Batch, Refusal, Shipment
from metalscope.sending.shipping.shipper import Shipper

LINES = 100_000
STREAMS = ("a", "b", "c", "d")
SEED = 20_251_128


class Chaos(Peer):
    """Half of the time it does something else than to take a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.dice = random.Random(SEED)
        self.refused: list[bytes] = []
        self.did: Counter[str] = Counter()

    def send(self, batch: Batch) -> Answer:
        does = self.dice.choices(
            ["take", "fail", "busy", "raise", "part", "refuse some", "refuse", "stall"],
            [50, 15, 8, 8, 10, 5, 2, 2],
        )[0]
        self.did[does] += 1
        answer = self._answer(does, batch)
        self.arrived += taken(batch, answer)
        return answer

    def _answer(self, does: str, batch: Batch) -> Answer:  # noqa: PLR0911 - one for each
        records = batch.records
        match does:
            case "fail":
                return ExportResult.retry(Reason.SERVER_ERROR, "HTTP 503")
            case "busy":
                moment = timedelta(milliseconds=1)
                return ExportResult.retry(Reason.RATE_LIMITED, "HTTP 429", retry_after=moment)
            case "raise":
                raise ConnectionResetError
            case "part":
                # The begin of it, so that the order stays.
                return Shipment(again=range(self.dice.randrange(len(records)), len(records)))
            case "refuse some":
                places = sorted(self.dice.sample(range(len(records)), len(records) // 10))
                self.refused += [records[place] for place in places]
                return Shipment(refused=[Refusal(place, Reason.SCHEMA) for place in places])
            case "refuse":
                self.refused += records
                return ExportResult.rejected(Reason.TOO_LARGE, "HTTP 413")
            case "stall":
                # Past its time, and the time after which it is said to hang.
                time.sleep(0.03)
                return self.dice.choice([None, ExportResult.retry(Reason.TIMEOUT, "late")])
        return None


def put_all(shipper: Shipper, streams: dict[str, range]) -> None:
    """Each stream by a thread of its own, a few lines at a time."""

    def put(stream: str, numbers: range) -> None:
        for first in numbers[::25]:
            count = min(25, numbers.stop - first)
            shipper.put(lines(count, first, stream), urgent=first % 1000 == 0)

    threads = [threading.Thread(target=put, args=each) for each in streams.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_every_line_arrives_once_or_is_counted_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process that ends while a batch is on its way cannot know what became of it; here it waits.
    monkeypatch.setattr(shipper_module, "_LEAST_CLOSING", 20.0)
    peer, each = Chaos(), LINES // len(STREAMS)
    shippers = []
    quarters = [range(each * part // 4, each * (part + 1) // 4) for part in range(4)]
    for part, numbers in enumerate(quarters):
        # It ends in the middle of it, three times, and what had not gone by then stays on disk.
        is_last = part == len(quarters) - 1
        with shipping(
            peer,
            delivery(tmp_path),
            batch_size=100,
            timeout=timedelta(milliseconds=10),
            linger=timedelta(milliseconds=20),
            closing=0.01,
        ) as shipper:
            shippers.append(shipper)
            put_all(shipper, dict.fromkeys(STREAMS, numbers))
            if is_last:
                assert shipper.flush(60)
    assert all(peer.did[does] > 3 for does in ("fail", "raise", "part", "refuse some", "stall"))
    delivered, dropped = accounted(shippers)
    gone = Counter(peer.arrived) + Counter(peer.refused)
    assert set(gone.values()) == {1}
    assert len(peer.arrived) == delivered
    assert delivered + dropped == LINES
    # What it neither took nor refused raised each time, or there was no room for it.
    reasons: Counter[str] = Counter()
    for shipper in shippers:
        reasons.update(shipper.status().dropped)
    refused = reasons[Reason.SCHEMA] + reasons[Reason.TOO_LARGE]
    assert refused == len(peer.refused)
    assert set(reasons) <= {
        Reason.SCHEMA, Reason.TOO_LARGE, Reason.EXPORTER_ERROR, Reason.QUEUE_FULL,
    }  # fmt: skip
    for stream in STREAMS:
        begin = f"{stream} ".encode()
        numbers_ = [int(line[2:]) for line in peer.arrived if line.startswith(begin)]
        assert numbers_ == sorted(numbers_)


def test_after_a_kill_no_line_that_was_kept_is_lost_and_one_batch_at_most_comes_twice(
    tmp_path: Path,
) -> None:
    spool, told = tmp_path / "spool", tmp_path / "peer"
    program = [
        sys.executable,
        str(Path(__file__).with_name("ship_child.py")),
        str(spool),
        str(told),
    ]
    kept, kills = 0, 3
    for round_ in range(kills):
        with subprocess.Popen([*program, str(kept)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            enough = kept + 1500 + 700 * round_
            for said in child.stdout:
                kept = int(said)
                if kept >= enough:
                    break
            child.send_signal(signal.SIGKILL)
            # What it said before it was gone counts too.
            kept = max([kept, *(int(said) for said in child.stdout.read().split())])
    with shipping(FilePeer(told, 0), delivery(spool), batch_size=BATCH) as shipper:
        assert shipper.flush(20)
    arrived = [entry.split(" ", 1) for entry in told.read_text().splitlines()]
    counts = Counter(line for _, line in arrived)
    # A line that was put and not said to be kept may be there as well, from the next round again.
    assert {f"line {number}" for number in range(kept)} <= set(counts)
    batches: dict[str, list[str]] = {}
    for name, line in arrived:
        batches.setdefault(name.partition("-")[0], []).append(line)
    twice = [lines_ for lines_ in batches.values() if len(set(lines_)) < len(lines_)]
    assert len(twice) <= kills
    assert all(len(lines_) <= 2 * BATCH for lines_ in twice)
