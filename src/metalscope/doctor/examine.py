"""Running all checks, several at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from metalscope.doctor.child import Check, Children, run_check
from metalscope.doctor.diagnosis import Diagnosis, Examination
from metalscope.doctor.plan import EXPORTERS, checks, facts_of_options, first_checks
from metalscope.sensors.identity import identity

__all__ = ["CHECK_SECONDS", "examine"]

AT_ONCE: Final = 4
"""Checks that run together; each is a Python of its own."""

CHECK_SECONDS: Final = 30.0
"""How long one check may take; to import PyTorch from a cold disk takes many of them."""

ANSWER_SECONDS: Final = 5.0
"""How long a running process may take to answer."""


def examine(
    *,
    config: Path | None = None,
    url: str | None = None,
    timeout: float = CHECK_SECONDS,
    send: bool = False,
) -> Examination:
    """Look at everything that metalscope uses or could use here.

    It takes some seconds. Nothing is raised for what is found, and nothing is left changed here.

    Args:
        config: an options file; ``None`` for the one ``METALSCOPE_CONFIG`` names.
        url: the address of a process that should be running; ``None`` to look where the options
            say, where none need be.
        timeout: seconds that one check may take.
        send: whether every exporter sends a probe; else it is only tried whether its host can be
            reached, and nothing is left changed.
    """
    children = Children()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="metalscope-doctor") as pool:

        def run(plan: Sequence[Check | Diagnosis]) -> list[list[Diagnosis]]:
            # The last in a plan waits for a tick of a running process, so it is begun first.
            running = {
                index: pool.submit(run_check, one, timeout, children)
                for index, one in reversed(list(enumerate(plan)))
                if isinstance(one, Check)
            }
            return [
                [one] if isinstance(one, Diagnosis) else running[index].result()
                for index, one in enumerate(plan)
            ]

        try:
            # What is set says where to look.
            file = str(config) if config is not None else None
            first = run(first_checks(file))
            facts = facts_of_options(first[-1])
            plan = checks(
                facts,
                url=url,
                answer_seconds=min(ANSWER_SECONDS, timeout),
                probe_with=file or "" if send else None,
            )
            told = run(list(plan))
            # What sends is told by what became of its probe.
            sent = {one.name for each in told for one in each if send and one.group == EXPORTERS}
            found = [
                one
                for each in first
                for one in each
                if one.group != EXPORTERS or one.name not in sent
            ]
            found += [one for each in told for one in each]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children.end()
            raise
    # What the doctor says is shown to others; the machine's id is not for them (machine-id(5)).
    host = {name: value for name, value in identity().items() if name != "host.id"}
    return Examination(tuple(_together(found)), host)


def _together(found: list[Diagnosis]) -> Iterator[Diagnosis]:
    """By group, the groups in the order in which they first come."""
    groups = dict.fromkeys(one.group for one in found)
    for group in groups:
        yield from (one for one in found if one.group == group)
