"""References to hosts that do not answer: a worker's own network, or they, may be at fault."""

import pytest

from caption_flow.errors import CutOff
from caption_flow.model import Reference
from tests.fetch.conftest import LOCAL, _no_waiting, server
from tests.fetch.naughty import NaughtyServer
from tests.roles import Roles, ends
from tests.worker.fetching import Make, brief, make, serve, simulated

__all__ = ["_no_waiting", "brief", "make", "server"]


async def test_a_host_without_a_network_hands_back_all_and_says_what_to_do(
    roles: Roles, make: Make
):
    hosts = [f"host-{n}.example" for n in range(8)]
    nobody = 9  # a port on which nothing listens
    urls = [f"http://{host}:{nobody}/a.jpg" for host in hosts for _ in range(8)]
    await roles.offer([Reference(url) for url in urls])
    reading = make(table={host: [LOCAL] for host in hosts})
    worker = await roles.worker(simulated(), references=reading)

    with pytest.raises(CutOff, match=r"host-\d\.example.*dataset\.images: inline"):
        await ends(worker.run())

    leases = await (await roles.work_queue()).claim(100)
    assert [(lease.attempt, lease.failures) for lease in leases] == [(1, ())] * 64


async def test_a_host_that_is_gone_costs_only_its_own_samples_their_attempts(
    roles: Roles, server: NaughtyServer, make: Make
):
    await roles.offer([Reference(f"http://{LOCAL}:9/a.jpg"), *serve(server, *range(5))])

    await ends((await roles.worker(simulated(), references=make())).run())

    letter = (await roles.dead())["00000.jpg"]
    reasons = [failure.reason for failure in (*letter.earlier, letter.failure)]
    assert reasons == ["unreachable"] * 3
    assert len(await roles.captions()) == 5


async def test_many_dead_hosts_of_a_list_are_no_network_that_is_gone(
    roles: Roles, server: NaughtyServer, make: Make
):
    """They are all that is left in hand once the others are captioned."""
    hosts = [f"host-{n}.example" for n in range(40)]
    dead = [Reference(f"http://{host}:9/a.jpg") for host in hosts]
    await roles.offer([*serve(server, *range(5)), *dead])

    reading = make(table={host: [LOCAL] for host in hosts})
    await ends((await roles.worker(simulated(), references=reading)).run())

    assert {letter.failure.reason for letter in (await roles.dead()).values()} == {"unreachable"}
    assert len(await roles.captions()) == 5


async def test_an_archive_that_nobody_serves_costs_no_sample_anything(roles: Roles, make: Make):
    """Links of a list die one by one; an archive is there for all of its samples or for none."""
    with NaughtyServer(LOCAL) as gone:
        url = gone.url("/0.tar")
    await roles.offer([Reference(url, 512 * n, 100) for n in range(20)])

    with pytest.raises(CutOff, match="nobody answers"):
        await ends((await roles.worker(simulated(), references=make(tries=1))).run())

    assert await roles.dead() == {}
    assert (await roles.counts()).in_flight == 20
