"""Tables of URLs pass a real feeder and a real Redis: each row once, also as tables change."""

from pathlib import Path

from caption_flow.codec import records
from caption_flow.dataset.source import SourceOptions
from feeders.urls import UrlsSource
from tests.roles import Roles, ends


def write(path: Path, numbers: range) -> None:
    lines = [f"https://example.com/{n}.jpg,no. {n}\n" for n in numbers]
    path.write_text("url,text\n" + "".join(lines))


async def feed(roles: Roles, folder: Path) -> tuple[int, int]:
    feeder = roles.feeder(UrlsSource(SourceOptions(str(folder), name="pictures")))
    await ends(feeder.run())
    return feeder.tally.samples, feeder.tally.failed


async def sources(roles: Roles) -> list[str]:
    entries = await roles.client.xrange(roles.job.lane.samples("caption"))
    return [records.sample_from(entry, fields).source for entry, fields in entries]


async def test_each_row_is_offered_once_with_where_its_image_lies(roles: Roles, tmp_path: Path):
    write(tmp_path / "t.csv", range(30))

    assert await feed(roles, tmp_path) == (30, 0)
    assert sorted(await sources(roles)) == sorted(f"https://example.com/{n}.jpg" for n in range(30))


async def test_only_rows_that_were_added_are_fed_again(roles: Roles, tmp_path: Path):
    write(tmp_path / "t.csv", range(30))
    await feed(roles, tmp_path)
    write(tmp_path / "t.csv", range(41))
    write(tmp_path / "u.csv", range(100, 103))

    assert await feed(roles, tmp_path) == (14, 0)


async def test_a_bad_url_is_a_dead_letter_and_the_others_are_fed(roles: Roles, tmp_path: Path):
    (tmp_path / "t.txt").write_text("https://example.com/1\nftp://example.com/2\n")

    assert await feed(roles, tmp_path) == (1, 1)


async def test_a_table_that_changes_while_it_is_fed_is_planned_anew(roles: Roles, tmp_path: Path):
    """The chunks of its first version wait when it is written anew."""
    write(tmp_path / "t.csv", range(30))
    before = UrlsSource(SourceOptions(str(tmp_path), name="pictures"))
    await ends(roles.planner(before, chunk_size=4).run())
    write(tmp_path / "t.csv", range(10, 40))

    assert await feed(roles, tmp_path) == (30, 0)
    assert set(await sources(roles)) == {f"https://example.com/{n}.jpg" for n in range(10, 40)}
