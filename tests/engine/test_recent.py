"""What is remembered: so many, and those that are wanted."""

from caption_flow.engine.recent import Recent


def test_what_was_put_is_there():
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)

    assert recent.get("a") == 1
    assert recent.get("b") is None


def test_the_one_wanted_longest_ago_goes():
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    recent.get("a")
    recent.put("c", 3)

    assert [recent.get(key) for key in "abc"] == [1, None, 3]


def test_a_value_put_again_takes_no_more_room():
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    recent.put("a", 3)

    assert [recent.get(key) for key in "ab"] == [3, 2]
