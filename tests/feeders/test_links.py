"""Links are passed over, or followed within the root, where they add something, once."""

from pathlib import Path

import pytest

from tests.feeders.tree import grow, ids, names, read_one, source


def link(at: Path, target: str | Path) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(target)


def test_links_are_passed_over_unless_asked_for(tmp_path: Path):
    grow(tmp_path, ".store/1.jpg")
    link(tmp_path / "a.jpg", ".store/1.jpg")
    link(tmp_path / "folder", ".store")

    assert ids(tmp_path) == []


def test_a_link_is_not_read_unless_asked_for(tmp_path: Path):
    grow(tmp_path, "1.jpg")
    link(tmp_path / "a.jpg", "1.jpg")

    assert read_one(tmp_path, ".", "a.jpg").error == "it is a link that is not followed"


def test_a_folder_behind_a_link_is_not_read_unless_asked_for(tmp_path: Path):
    grow(tmp_path, "real/1.jpg")
    link(tmp_path / "folder", "real")

    assert "link" in read_one(tmp_path, "folder", "1.jpg").error


def test_a_link_to_a_file_the_walk_does_not_meet_is_followed(tmp_path: Path):
    grow(tmp_path, ".store/1", ".store/2.jpg")
    link(tmp_path / "a/1.jpg", "../.store/1")
    link(tmp_path / "a/2.jpg", tmp_path / ".store/2.jpg")

    assert ids(tmp_path, follow_symlinks=True) == ["a/1.jpg", "a/2.jpg"]


def test_a_link_gives_the_bytes_of_its_target(tmp_path: Path):
    grow(tmp_path, ".store/1")
    link(tmp_path / "a/1.jpg", "../.store/1")

    assert read_one(tmp_path, "a", "1.jpg", follow_symlinks=True).image == b".store/1"


def test_a_link_to_a_folder_the_walk_does_not_meet_is_followed(tmp_path: Path):
    grow(tmp_path, ".store/x/1.jpg", ".store/2.jpg")
    link(tmp_path / "folder", ".store")

    assert ids(tmp_path, follow_symlinks=True) == ["folder/2.jpg", "folder/x/1.jpg"]


def test_what_the_walk_meets_anyway_is_not_doubled(tmp_path: Path):
    grow(tmp_path, "real/1.jpg")
    link(tmp_path / "folder", "real")
    link(tmp_path / "a.jpg", "real/1.jpg")

    assert ids(tmp_path, follow_symlinks=True) == ["real/1.jpg"]


def test_a_folder_behind_two_links_is_not_doubled(tmp_path: Path):
    grow(tmp_path, ".store/x/1.jpg")
    link(tmp_path / "a", ".store/x")
    link(tmp_path / "b", ".store")

    assert ids(tmp_path, follow_symlinks=True) == ["a/1.jpg"]


def test_links_in_a_ring_end(tmp_path: Path):
    grow(tmp_path, ".store/x/1.jpg")
    link(tmp_path / "in", ".store")
    link(tmp_path / ".store/x/back", "..")
    link(tmp_path / ".store/up", tmp_path)
    link(tmp_path / "self", "self")
    link(tmp_path / "self.jpg", "self.jpg")

    assert ids(tmp_path, follow_symlinks=True) == ["in/x/1.jpg"]


def test_a_link_to_a_file_in_a_folder_is_followed_where_folders_are_not_walked(tmp_path: Path):
    grow(tmp_path, "deeper/1.jpg")
    link(tmp_path / "a.jpg", "deeper/1.jpg")

    assert ids(tmp_path, follow_symlinks=True, recursive=False) == ["a.jpg"]


@pytest.mark.parametrize("target", ["../secret.jpg", "../outside", "/etc"])
def test_links_out_of_the_root_are_passed_over(tmp_path: Path, target: str):
    grow(tmp_path, "secret.jpg", "outside/1.jpg", "root/1.jpg")
    link(tmp_path / "root/a.jpg", target)
    link(tmp_path / "root/b", target)

    assert ids(tmp_path / "root", follow_symlinks=True) == ["1.jpg"]


def test_a_link_out_of_the_root_is_not_read_even_if_asked_for(tmp_path: Path):
    grow(tmp_path, "secret.jpg", "root/1.jpg")
    link(tmp_path / "root/a.jpg", "../secret.jpg")

    assert read_one(tmp_path / "root", ".", "a.jpg", follow_symlinks=True).error == (
        "it is a link that leads out of the data set"
    )


def test_a_folder_behind_a_link_out_of_the_root_is_not_read(tmp_path: Path):
    grow(tmp_path, "outside/1.jpg", "root/1.jpg")
    link(tmp_path / "root/folder", "../outside")

    assert "leads out" in read_one(tmp_path / "root", "folder", "1.jpg", follow_symlinks=True).error


def test_a_neighbour_whose_name_begins_like_the_root_is_outside(tmp_path: Path):
    grow(tmp_path, "root/1.jpg", "root-2/.secret/1.jpg")
    link(tmp_path / "root/a", "../root-2/.secret")

    assert ids(tmp_path / "root", follow_symlinks=True) == ["1.jpg"]


@pytest.mark.parametrize("follow", [True, False])
def test_a_file_swapped_for_a_link_after_planning_is_not_followed_out(
    tmp_path: Path, *, follow: bool
):
    grow(tmp_path, "secret.jpg", "root/1.jpg")
    made = source(tmp_path / "root", follow_symlinks=follow)
    planned = list(made.names(".", None))
    (tmp_path / "root/1.jpg").unlink()
    link(tmp_path / "root/1.jpg", "../secret.jpg")

    assert [raw.image for raw in made.samples(".", planned)] == [b""]


def test_a_link_to_nothing_in_the_store_reaches_the_books(tmp_path: Path):
    """As in a store whose content was never fetched."""
    link(tmp_path / "a.jpg", ".store/missing")
    made = source(tmp_path, follow_symlinks=True)

    assert [raw.error for raw in made.samples(".", list(made.names(".", None)))] == [
        "it is not there any more"
    ]


def test_the_root_itself_may_be_a_link(tmp_path: Path):
    grow(tmp_path, "real/1.jpg")
    link(tmp_path / "root", "real")

    assert names(tmp_path / "root") == ["1.jpg"]


def test_a_link_to_the_root_is_no_file(tmp_path: Path):
    link(tmp_path / "a.jpg", ".")

    assert (
        read_one(tmp_path, ".", "a.jpg", follow_symlinks=True).error == "it is not a regular file"
    )


def test_a_walk_that_starts_later_doubles_nothing_that_links_led_to_before(tmp_path: Path):
    grow(tmp_path, ".store/1.jpg")
    link(tmp_path / "a/in", "../.store")
    link(tmp_path / "b/in", "../.store")

    assert list(source(tmp_path, follow_symlinks=True).shards("b")) == ["b"]
