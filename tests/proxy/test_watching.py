"""What the page of a proxy shows of the job as a whole."""

import gzip

from tests.proxy.house import House
from tests.proxy.watched import ROWS, attentive_page, home
from tests.web.asking import get

__all__ = ["attentive_page", "home"]


async def test_state_is_the_document_of_the_job(home: House):
    await home.roles.finish(range(3))
    told = (await get(home.port, "/api/state")).json

    assert told["job"] == home.roles.job.job
    assert told["books"]["completed"] == 3
    assert told["limit"]["sentence"]
    assert [one["stream"] for one in told["streams"]] == ["chunks", "samples:caption", "captions"]


async def test_what_is_long_is_packed_for_who_takes_that(home: House):
    await home.roles.finish(range(ROWS))
    plain = await get(home.port, "/api/captions")
    packed = await get(home.port, "/api/captions", Accept_Encoding="gzip")

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 2
    assert gzip.decompress(packed.body) == plain.body
