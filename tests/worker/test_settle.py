"""Settle: what is told of samples is what the queue has made of them."""

from collections.abc import Sequence
from typing import Any

import pytest

from caption_flow import traces
from caption_flow.lifecycle import Drain
from caption_flow.model import Lease, Outcomes
from caption_flow.worker.settle import Settler
from tests.made import jpeg
from tests.roles import Roles


class Disputed:
    """A queue in which another worker has settled the first of all samples."""

    async def complete(self, done: Sequence[tuple[Lease, Outcomes]]) -> list[bool]:
        return [number > 0 for number, _ in enumerate(done)]


async def test_sample_that_another_worker_settled_has_no_span_of_ours(
    roles: Roles, monkeypatch: pytest.MonkeyPatch
):
    noted: list[tuple[str, list[str]]] = []

    def note(name: str, marks: Any, _: int) -> None:
        noted.append((name, list(marks)))

    monkeypatch.setattr(traces, "mark", lambda sample: sample.id)
    monkeypatch.setattr(traces, "note", note)
    await roles.offer([jpeg(n) for n in range(3)])
    leases = await (await roles.work_queue()).claim(3)
    queue: Any = Disputed()
    settler = Settler(queue, worker="me", drain=Drain(), settled=lambda _: None)

    for lease in leases:
        settler.complete(lease, ())
    await settler.finish()

    assert noted == [("complete", [lease.sample.id for lease in leases[1:]])]
