"""How numbers, sizes and times read on the pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any


def number(value: float | str | None) -> str:
    """Group digits by thousands; at most four decimals."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.4f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")


def size(count: float) -> str:
    """Say a number of bytes in the unit that fits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    digits = 0 if unit == "bytes" or count >= 100 else 1
    return f"{count:.{digits}f} {unit}".replace(".0 ", " ")


def duration(span: timedelta) -> str:
    """Say how long something took."""
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s"


def share(part: float, whole: float) -> str:
    """Say which part of the whole it is, in percent; 0 and 100 only for none and all."""
    if part in (0, whole):
        return "100%" if part and whole else "0%"
    percent = round(100 * part / whole)
    return "<1%" if percent < 1 else f"{min(percent, 99)}%"


def width(part: float, whole: float) -> str:
    """Give the part as the width of a bar."""
    return f"{100 * part / whole:.1f}%" if whole else "0"


def clock(at: datetime) -> str:
    """Say when, in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "size": size,
    "duration": duration,
    "share": share,
    "width": width,
    "clock": clock,
}
