"""Doctor: what a check has found, and the cure."""

from typing import Literal, TypeAlias

from msgspec import Struct

State: TypeAlias = Literal["ok", "warning", "problem", "skipped"]


class Finding(Struct, frozen=True):
    """One result of a check."""

    check: str  # its name
    state: State
    said: str  # what is so; of a check that was skipped, why
    cure: str = ""  # what to do; not empty where something is wrong


def ok(check: str, said: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", said)


def skipped(check: str, why: str) -> Finding:
    """Nothing was looked at."""
    return Finding(check, "skipped", why)


def warning(check: str, said: str, cure: str) -> Finding:
    """It works, and may hurt later."""
    return Finding(check, "warning", said, cure)


def problem(check: str, said: str, cure: str) -> Finding:
    """It does not work."""
    return Finding(check, "problem", said, cure)


def told(check: str, state: State, sentences: object, otherwise: str) -> Finding:
    """Make one of what others say of it: first what is wrong, then what to do.

    `otherwise`: the cure where they do not say.
    """
    said, _, cure = str(sentences).strip().partition(". ")
    return Finding(check, state, f"{said.removesuffix('.')}.", cure.strip() or otherwise)
