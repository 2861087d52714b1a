"""When an objective's error budget is gone, if it burns on as it does."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from metalscope.health_report import ObjectiveStatus, Prediction, PredictionKind

__all__ = ["budget_spent"]

LOOKED_AT: Final = (1800.0, 3600.0, 6 * 3600.0)
"""Windows, s, whose burn rates count as present: the slowest and the fastest bound the time."""

MIN_OPERATIONS: Final = 100
"""The budget of fewer operations is a handful of failures, which chance can spend."""


def budget_spent(status: ObjectiveStatus, now: datetime, horizon: timedelta) -> Prediction | None:
    """When no budget is left, by the middle of the present burn rates.

    A budget of share ``b`` left goes in ``b × window / rate`` (SRE Workbook, chapter 5). What drops
    out of the window meanwhile would put it off, so it is not sooner than said only if the rates
    hold. ``None`` where the budget is not going, is gone already, or lasts longer than
    ``horizon``, and where the slowest of the rates would not spend it at all.
    """
    left = status.budget_left
    rates = sorted(
        one.rate for one in status.burn_rates if one.seconds in LOOKED_AT and one.rate is not None
    )
    if left is None or left <= 0 or status.total < MIN_OPERATIONS or not rates:
        return None
    # A rate of 1 is what the objective allows for.
    if rates[0] <= 1.0:
        return None
    whole = left * status.window_seconds
    soonest, middle, latest = (
        whole / rate for rate in (rates[-1], rates[len(rates) // 2], rates[0])
    )
    if middle > horizon.total_seconds():
        return None
    return Prediction(
        PredictionKind.BUDGET_SPENT,
        subject=status.name,
        message=(
            f"the error budget of {status.name} is gone in {_span(middle)} at the present burn "
            f"rate of {rates[len(rates) // 2]:.3g}"
        ),
        at=now + timedelta(seconds=middle),
        earliest=now + timedelta(seconds=soonest),
        latest=now + timedelta(seconds=latest),
        value=0.0,
        unit="budget_left",
        evidence=(
            f"{left:.1%} of the budget is left",
            *(
                f"burn rate {one.rate:.3g} over {_span(one.seconds)}"
                for one in status.burn_rates
                if one.seconds in LOOKED_AT and one.rate is not None
            ),
        ),
    )


def _span(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86_400:.1f} days"
