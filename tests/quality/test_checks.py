"""What each check fails, and what it lets pass."""

import sys
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from caption_flow.config.quality import Check
from caption_flow.errors import ConfigError
from caption_flow.quality import Said, failing, ready
from caption_flow.quality.language import _identifier
from caption_flow.quality.repetition import is_repetition

EACH = (
    Check(check="empty"),
    Check(check="too_short", words=3, characters=8),
    Check(check="too_long", words=60, characters=400),
    Check(check="cut_off"),
    Check(check="refusal"),
    Check(check="repetition"),
    Check(check="echo"),
    Check(check="banned_words", banned=("watermark", "stock photo", "猫", "straße")),
    Check(check="language", languages=("en",)),
)
PROMPT = "Describe the image in one sentence."


def failed(text: str, *checks: Check, finish_reason: str = "stop", prompt: str = PROMPT) -> str:
    said = Said(text, finish_reason, prompt)
    return " ".join(check.check for check in failing(checks or EACH, said))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red circle on a white background.", ""),
        ("", "empty too_short"),
        (" \n\t", "empty too_short"),
        ("... !?", "empty too_short"),
        ("👍👍👍 👍👍👍 👍👍👍", "empty"),
        ("A cat.", "too_short"),
        ("ab cd ef", ""),
        ("a b c", "too_short"),
        ("word " * 61, "too_long repetition"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("Describe the image in one sentence. A red circle.", "echo"),
        ("Two men, WATERMARK in the corner.", "banned_words"),
        ("Ein roter Kreis auf weißem Grund.", "language"),
    ],
)
def test_text_fails_these_checks(text: str, expected: str):
    assert failed(text) == expected


def test_text_at_the_bound_is_neither_too_short_nor_too_long():
    short, long = Check(check="too_short", words=3), Check(check="too_long", words=3)

    assert failed("a b c", short, long) == ""
    assert failed("a b", short, long) == "too_short"
    assert failed("a b c d", short, long) == "too_long"


@pytest.mark.parametrize(
    ("reason", "expected"), [("stop", ""), ("length", "cut_off"), ("repetition", "repetition")]
)
def test_engine_tells_what_it_cut_off(reason: str, expected: str):
    assert failed("A red circle on a white background.", finish_reason=reason) == expected


LOOPS = [
    "A cat on a mat, " + "and a dog, " * 8,
    "A street with cars" + ", cars, buses, people" * 3 + ", cars, bu",
    "The sky is " + "very " * 20,
    "Zeros: " + "0" * 60,
    "<s>" * 30,
    "一只猫坐在桌子上" * 8,
    "A red car is parked here. A red car is parked here.",
    "The wall is white. A red car is parked. It is new. A red car is parked. "
    "It is old. A red car is parked.",
    "- a wooden table\n- a chair\n- a wooden table\n- a lamp\n- a wooden table",
]
NO_LOOPS = [
    "A sign that says HA HA HA HA HA.",
    "Row, row, row your boat, says the song sheet.",
    "Stop. Stop. Stop. The sign is red.",
    "A red car next to a red car next to a red van.",
    "A list of prices: 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120 and 130.",
    "The wall is white behind him. She smiles. The wall is white behind him. He does not.",
    "Black and white, black and white: the tiles of a floor.",
]


@pytest.mark.parametrize("text", LOOPS)
def test_loop_is_a_repetition(text: str):
    assert is_repetition(text)


@pytest.mark.parametrize("text", NO_LOOPS)
def test_word_said_again_is_no_repetition(text: str):
    assert not is_repetition(text)


@pytest.mark.parametrize(
    ("text", "prompt", "expected"),
    [
        ("describe the image in one sentence", PROMPT, "echo"),
        ("**Describe** the image,\nin one: sentence", PROMPT, "echo"),
        ("Describe the image in one word.", PROMPT, "echo"),
        ("User: Describe the image in one sentence. Assistant: A cat.", PROMPT, "echo"),
        ("Describe the scene: a cat.", PROMPT, ""),
        ("The image in one sentence", PROMPT, ""),
        ("Caption of a cat.", "Caption:", ""),
        ("描述这张图片。一只猫。", "描述这张图片。", "echo"),
        ("一只猫。", "描述这张图片。", ""),
        ("A cat.", "", ""),
    ],
)
def test_prompt_said_again_is_an_echo(text: str, prompt: str, expected: str):
    assert failed(text, Check(check="echo"), prompt=prompt) == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a stock  photo\nof a man", True),
        ("a STOCK\u00a0PHOTO", True),
        ("a livestock photo", False),
        ("a stock photograph", False),
        ("watermarked", False),
        ("watermark_2", False),
        ("(watermark)", True),
        ("ｗａｔｅｒｍａｒｋ", True),
        ("watermark\u0301ed", False),
        ("livestock photo, then a stock photo", True),
        ("一只猫在睡觉", True),
        ("STRASSE", True),
        ("Straßen", False),
    ],
)
def test_banned_words_are_whole_words_in_any_case(text: str, found: bool):
    assert (failed(text, EACH[7]) == "banned_words") == found


@pytest.mark.parametrize(
    ("word", "text"),
    [("don't", "I don\u2019t."), ("non-slip", "a non\u2011slip mat"), ("logo", "a lo\u00adgo")],
)
def test_banned_word_is_found_however_it_is_typed(word: str, text: str):
    assert failed(text, Check(check="banned_words", banned=(word,))) == "banned_words"


def test_banned_word_that_nobody_sees_is_in_no_text():
    assert not failed("A cat.", Check(check="banned_words", banned=("\u200b",)))


@pytest.mark.parametrize(
    ("text", "languages", "expected"),
    [
        ("Two dogs playing in the snow.", ("en",), ""),
        ("Zwei Hunde spielen im Schnee.", ("en",), "language"),
        ("Zwei Hunde spielen im Schnee.", ("en", "de"), ""),
        ("白色背景上的红色圆圈。", ("en",), "language"),
        ("白色背景上的红色圆圈。", ("zh",), ""),
        ("Красный круг на белом фоне.", ("en",), "language"),
        ("A plate of spaghetti carbonara with pancetta and parmigiano.", ("en",), ""),
        ("OK", ("de",), ""),
        ("IMG_0042.JPG", ("de",), ""),
        ("", ("de",), ""),
    ],
)
def test_language_is_judged_where_it_can_be(text: str, languages: tuple[str, ...], expected: str):
    assert failed(text, Check(check="language", languages=languages)) == expected


def test_language_that_the_library_does_not_know_is_told_at_the_start():
    with pytest.raises(
        ConfigError, match=r'does not know "nb"; of the codes with "n" it knows .* nn, no'
    ):
        ready([Check(check="language", languages=("en", "nb"))])


def test_missing_library_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    _identifier.cache_clear()

    with pytest.raises(ConfigError, match=r"install \"caption-flow\[language\]\""):
        ready([Check(check="language", languages=("en",))])


def test_other_checks_need_no_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    _identifier.cache_clear()

    ready([Check(check="empty"), Check(check="refusal")])


ANY = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=())),  # lone surrogates as well
    st.text(alphabet="ab .,\n*'猫"),
    st.lists(st.sampled_from(["I'm sorry, ", "as an AI ", "ha ", "\x00", "A cat. ", PROMPT])).map(
        "".join
    ),
)


@given(ANY, ANY, st.sampled_from(["stop", "length", "repetition", ""]))
@settings(max_examples=150, deadline=None)
@example("\ud800", "\ud800", "")
def test_no_text_makes_a_check_raise(text: str, prompt: str, reason: str):
    failed(text, finish_reason=reason, prompt=prompt)


LONG = 100_000
HOSTILE = {
    "one letter": "a" * LONG,
    "spaces": "a" + " " * LONG,
    "near misses": "watermarks stock phot " * (LONG // 22),
    "sorry": "I'm sorry, " * (LONG // 11),
    "stops": "." * LONG,
    "almost a loop": ("a" * 999 + "b") * (LONG // 1000) + "c",
    "marks": "*" * LONG,
    "sentences": ". ".join(str(n) * 12 for n in range(LONG // 60)),
    "letters of many languages": "".join(map(chr, range(0x100, 0xD000))) * 2,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_long_text_is_judged_in_no_time(text: str):
    failed(text, prompt=text)  # loads what is loaded once
    begun = time.process_time()
    failed(text, prompt=text)

    assert time.process_time() - begun < 1.0  # what is quadratic takes minutes
