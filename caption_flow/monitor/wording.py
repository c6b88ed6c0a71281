"""Monitor: times, rates and shares as people read them."""

from datetime import datetime

MINUTE, HOUR, DAY = 60, 3600, 86400
UNKNOWN = "-"
_SMALL, _LARGE = 10.0, 1000.0  # rates that are told with more, and with no decimals


def span(seconds: float | None) -> str:
    """Write a length of time in its two largest units; "-" where it is not known."""
    if seconds is None:
        return UNKNOWN
    whole = round(max(0.0, seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def short(seconds: float | None) -> str:
    """Write it in its largest unit, for a column."""
    if seconds is None:
        return UNKNOWN
    whole = round(max(0.0, seconds))
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if whole >= 2 * unit:
            return f"{whole // unit} {name}"
    return f"{whole} s"


def rate(value: float | None) -> str:
    """Write how many there are a second; "-" where it is not known."""
    if value is None:
        return UNKNOWN
    decimals = 2 if 0 < value < _SMALL else 0 if value >= _LARGE else 1
    return f"{value:,.{decimals}f}/s"


def share(value: float | None) -> str:
    """Write a share as percent; "-" where it is not known."""
    return UNKNOWN if value is None else f"{value:.0%}"


def clock(at: float) -> str:
    """Write a time of day here, and the day where that was not today; "-" where it is none."""
    try:
        then = datetime.fromtimestamp(at).astimezone()
    except (OverflowError, ValueError, OSError):  # a stranger's, say
        return UNKNOWN
    today = then.date() == datetime.now().astimezone().date()
    return then.strftime("%H:%M:%S" if today else "%m-%d %H:%M")
