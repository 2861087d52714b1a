"""The logger with its real shippers and file sinks: every line arrives once, whole and in order."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from metalscope.log_options import LoggingOptions
from metalscope.logs.logger import MetalProductionLogger
from metalscope.logs.registry import sinks_of
from metalscope.sanitizing import Sanitizer
from metalscope.sanitizing_options import SanitizingOptions

EACH = 1500


def of_file(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_of_four_threads_are_in_two_files_each_in_its_format(tmp_path: Path) -> None:
    errors: list[BaseException] = []
    options = LoggingOptions.model_validate(
        {
            "max_buffer_size": 4 * EACH,
            "sinks": [
                {
                    "type": "file", "name": "all", "format": "json",
                    "endpoint": (tmp_path / "all.log").as_uri(),
                },
                {
                    "type": "file", "name": "grave", "format": "ecs", "level": "error",
                    "endpoint": (tmp_path / "grave.log").as_uri(),
                },
            ],
        }
    )  # fmt: skip
    log = MetalProductionLogger(
        options,
        sanitizer=Sanitizer(SanitizingOptions()),
        sinks=sinks_of(
            options,
            resource={"service.name": "shop"},
            on_error=lambda _, error: errors.append(error),
        ),
        on_error=lambda _, error: errors.append(error),
    )

    def work(number: int) -> None:
        for place in range(EACH):
            log.log(
                log.severity if place % 100 else type(log.severity).ERROR,
                "said",
                number=number,
                place=place,
            )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert log.flush(60)
    by_thread = defaultdict(list)
    for line in of_file(tmp_path / "all.log"):
        by_thread[line["number"]].append(line["place"])
    assert dict(by_thread) == {number: list(range(EACH)) for number in range(4)}
    grave = of_file(tmp_path / "grave.log")
    assert {line["log.level"] for line in grave} == {"error"}
    assert len(grave) == 4 * EACH // 100
    assert {one.name: one.delivered for one in log.status()} == {
        "all": 4 * EACH, "grave": len(grave),
    }  # fmt: skip
    log.close(60)
    assert not errors


PROGRAM = """
import signal, sys, threading
from pathlib import Path
from metalscope.log_options import LoggingOptions
from metalscope.logs.logger import MetalProductionLogger
from metalscope.logs.registry import sinks_of
from metalscope.sanitizing import Sanitizer
from metalscope.sanitizing_options import SanitizingOptions

def told(room, error):
    raise error

options = LoggingOptions(**{{
    "buffer_flush_interval": "1h",
    "sinks": [{{"type": "file", "format": "json", "endpoint": Path({path!r}).as_uri()}}],
}})
log = MetalProductionLogger(
    options, sanitizer=Sanitizer(SanitizingOptions()),
    sinks=sinks_of(options, resource={{}}, on_error=told), on_error=told,
)
for number in range(300):
    log.info("said", number=number)
{end}
"""


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise ValueError", "log.close()"])
def test_all_that_was_logged_is_in_the_file_when_the_program_is_over(
    end: str, tmp_path: Path
) -> None:
    path = tmp_path / "all.log"
    program = textwrap.dedent(PROGRAM).format(path=str(path), end=end)
    subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert [line["number"] for line in of_file(path)] == list(range(300))
