"""The order of the stages: each after those it requires, else as written."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from caption_flow.config.words import repeated

Requires = Mapping[str, Sequence[str]]  # stage -> the stages it requires, in written order


def order(requires: Requires) -> list[str]:
    """Sort the stages topologically; the written order decides where it may."""
    done: list[str] = []
    waiting = list(requires)
    while waiting:
        ready = next(name for name in waiting if all(need in done for need in requires[name]))
        waiting.remove(ready)
        done.append(ready)
    return done


def mistakes(names: Sequence[str], requires: Requires) -> Iterator[str]:
    """Say what keeps these stages from having an order; nothing when they have one."""
    yield from repeated(names, "stages[{}].name")
    unknown = list(_unknown(names, requires))
    yield from unknown
    if not unknown and (circle := _circle(requires)):
        yield f"stages require each other in a circle: {' → '.join(circle)}"


def _unknown(names: Sequence[str], requires: Requires) -> Iterator[str]:
    for index, name in enumerate(names):
        for need in requires[name]:
            if need not in requires:
                near = get_close_matches(need, names, n=1)
                hint = f'; did you mean "{near[0]}"?' if near else ""
                yield f'stages[{index}] ("{name}") requires "{need}", which is no stage{hint}'


def _circle(requires: Requires) -> list[str]:
    stuck = dict(requires)
    while free := [name for name in stuck if not any(need in stuck for need in stuck[name])]:
        for name in free:
            del stuck[name]
    return _walk(stuck) if stuck else []


def _walk(stuck: Requires) -> list[str]:
    """Follow the requirements among stages that all wait, until one comes up again."""
    trail = [next(iter(stuck))]
    while True:
        step = next(need for need in stuck[trail[-1]] if need in stuck)
        if step in trail:
            return [*trail[trail.index(step) :], step]
        trail.append(step)
