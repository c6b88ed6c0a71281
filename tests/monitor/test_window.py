"""Window: what is seen of a list, and that the chosen line is followed."""

from hypothesis import given
from hypothesis import strategies as st

from caption_flow.monitor.window import Window


def test_list_begins_at_its_top():
    assert Window().look("abcde", 3) == (0, 0)


def test_going_down_moves_what_is_seen_only_at_its_end():
    window = Window()
    window.move(2)
    assert window.look("abcde", 3) == (0, 2)
    window.move(1)
    assert window.look("abcde", 3) == (1, 3)
    window.move(-1)
    assert window.look("abcde", 3) == (1, 2)


def test_pages_and_far_steps_end_at_the_ends():
    window = Window()
    window.look("abcdefghij", 4)
    window.page(1)
    assert window.look("abcdefghij", 4) == (0, 3)
    window.move(1 << 40)
    assert window.look("abcdefghij", 4) == (6, 9)
    window.page(-9)
    assert window.look("abcdefghij", 4) == (0, 0)


def test_chosen_line_is_followed():
    window = Window()
    window.move(2)
    window.look("abcde", 3)

    assert window.look("cabde", 3)[1] == 0
    assert window.look("abdec", 3) == (2, 4)


def test_top_stays_the_top_when_something_new_comes():
    window = Window()
    window.look("bcd", 3)

    assert window.look("abcd", 3) == (0, 0)


def test_line_that_is_gone_leaves_its_place_to_the_next():
    window = Window()
    window.move(1)
    window.look("abcd", 3)

    assert window.look("acd", 3)[1] == 1


def test_empty_list_has_no_line():
    window = Window()
    window.move(3)

    assert window.look("", 3) == (0, 0)
    assert window.look("abc", 3) == (0, 0)


def test_who_goes_to_the_top_stays_there():
    window = Window()
    window.move(2)
    window.look("bcd", 3)
    window.move(-2)
    window.look("bcd", 3)

    assert window.look("abcd", 3) == (0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12), st.integers(-40, 40)), max_size=20)
)
def test_chosen_line_is_always_among_those_seen(looks: list[tuple[int, int, int]]):
    """Whatever becomes of the list and of the screen."""
    window = Window()
    for length, height, steps in looks:
        window.move(steps)
        top, at = window.look(range(length), height)
        assert 0 <= top <= max(0, length - height)
        assert top <= at < top + height
        assert at < max(1, length)
