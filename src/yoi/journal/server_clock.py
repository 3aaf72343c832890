"""Whether this machine's clock and the NATS servers' agree, by the time in an answer of theirs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from yoi.errors import ClusterError
from yoi.limits import LIMITS, Limits


def skew_ms(answer: Mapping[str, Any], now_ms: int) -> int | None:
    """Return how far the servers' clock is ahead of `now_ms`; None where the answer has no time."""
    there = unix_seconds(str(answer.get("ts", "")))
    return None if there is None else int(there * 1000) - now_ms


def unix_seconds(told: str) -> float | None:
    """Return a time as the servers write it in Unix seconds; None for a text that is none."""
    try:
        return datetime.fromisoformat(f"{told[:26].rstrip('Z')}+00:00").timestamp()
    except ValueError:
        return None


def check_clock(answer: Mapping[str, Any], now_ms: int, limits: Limits = LIMITS) -> None:
    """Raise ClusterError `cluster.clock` where the clocks differ by more than the bound."""
    skew = skew_ms(answer, now_ms)
    if skew is not None and abs(skew) > limits.cluster_skew_ms:
        raise clock_is_off(f"the NATS servers' clock is {skew // 1000} s ahead of this machine's")


def clock_is_off(how: str) -> ClusterError:
    """Return the error of a machine whose clock cannot be right."""
    return ClusterError(
        "cluster.clock",
        f"{how}: this clock is wrong, or theirs",
        hint="set the clocks of all machines by NTP: timedatectl set-ntp true",
    )
