"""Sizes and shares as people write them: "100MiB" is 104857600, "1%" is 0.01."""

import re

_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)}
_UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]*)", re.IGNORECASE | re.ASCII)

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)\s*%", re.ASCII)

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
_SPELT = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def parse_size(text: str) -> int | None:
    """Return the bytes that "8MiB", "1.5 GB" or "4096" stand for; None when it is no size."""
    match = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        return None
    return int(match[1]) * unit if match[1].isdigit() else int(float(match[1]) * unit)


def spelt(size: float) -> str:
    """Write bytes as people read them: 1536 is "1.5 KiB"."""
    power = min(max(0, int(size).bit_length() - 1) // 10, len(_SPELT) - 1)
    number = f"{size / KIB**power:,.1f}" if power else f"{size:,.0f}"
    return f"{number} {_SPELT[power]}"


def parse_share(text: str) -> float | None:
    """Return the share that "1%" or "0.5 %" stands for; None when it is none."""
    match = _PERCENT.fullmatch(text.strip())
    return float(match[1]) / 100 if match else None
