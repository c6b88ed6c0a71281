"""What processes say: lines that a terminal only shows, or objects that programs read."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest
from msgspec import Struct

from caption_flow import logs

NASTY = "a\x1b[2J\r\x9bb\x7f\n\udcff.jpg"  # with a byte that is no UTF-8


class Picture(Struct):
    id: str
    chunk: str


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the logs of this process as they were found; no other test speaks JSON in it."""
    ours = logging.getLogger("caption_flow")
    before = (ours.handlers[:], ours.level, ours.propagate)
    monkeypatch.delenv(logs.INHERITED, raising=False)
    yield
    ours.handlers[:], ours.level, ours.propagate = before


def said(program: str, **environ: str) -> list[Any]:
    """Run a program that speaks JSON; answers its lines."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_strangers_name_moves_no_cursor(capsys: pytest.CaptureFixture[str]):
    logs.set_up("info")
    logging.getLogger("caption_flow").info("Gave up %s", "a\x1b[2J\r\x9bb.jpg")

    assert capsys.readouterr().err.endswith("Gave up a\ufffd[2J\ufffd\ufffdb.jpg\n")


def test_fields_are_no_part_of_a_plain_line(capsys: pytest.CaptureFixture[str]):
    logs.set_up("info")
    extra = logs.about(Picture("a.jpg", "b"))
    logging.getLogger("caption_flow").info("Gave up %s", "a.jpg", extra=extra)

    assert capsys.readouterr().err.endswith("Z INFO    Gave up a.jpg\n")


def test_what_a_line_is_about_are_fields_and_nothing_is_said_twice():
    assert logs.about(Picture("a.jpg", "b")) == {"sample": "a.jpg", "chunk": "b"}
    assert logs.about(chunk="b") == {"chunk": "b"}
    assert logs.about(part="p", contributor="ann") == {"part": "p", "contributor": "ann"}


def test_each_line_of_json_is_one_object_in_ascii_whatever_it_is_about():
    program = f"""
        import logging
        from caption_flow import logs
        logs.set_up("info", "json")
        name = {NASTY!r}
        extra = logs.about(part=name)
        logging.getLogger("caption_flow.x").info("Gave up %s", name, extra=extra)
    """
    done = subprocess.run([sys.executable, "-c", dedent(program)], capture_output=True, check=True)

    [line] = done.stderr.splitlines()
    assert all(0x20 <= byte < 0x7F for byte in line)
    told = json.loads(line)
    assert (told["part"], told["message"]) == (NASTY, f"Gave up {NASTY}")
    assert (told["level"], told["logger"]) == ("info", "caption_flow.x")


def test_process_says_who_it_is_in_all_its_threads():
    [line] = said("""
        import logging, threading
        from caption_flow import logs
        logs.set_up("info", "json")
        logs.speak_as(role="sink")
        logs.speak_as(job="photos", member="me")
        say = logging.getLogger("caption_flow").info
        thread = threading.Thread(target=say, args=("Hello",))
        thread.start()
        thread.join()
    """)

    assert (line["role"], line["job"], line["member"]) == ("sink", "photos", "me")


def test_task_says_for_whom_it_speaks_and_no_other():
    lines = said("""
        import asyncio, logging
        from caption_flow import logs
        logs.set_up("info", "json")
        say = logging.getLogger("caption_flow").info

        async def serve(name):
            with logs.speaking_for(contributor=name):
                await asyncio.sleep(0)
                say(name)

        async def all():
            await asyncio.gather(serve("ann"), serve("bob"))
            say("nobody")

        asyncio.run(all())
    """)

    assert [(line["message"], line.get("contributor")) for line in lines] == [
        ("ann", "ann"),
        ("bob", "bob"),
        ("nobody", None),
    ]


FAILING = """
    import logging
    from caption_flow import logs
    logs.set_up("info", "json", verbose={verbose})
    try:
        [].pop()
    except IndexError:
        logging.getLogger("caption_flow").exception("It has failed")
"""


def test_exception_is_told_in_a_line_and_whole_where_that_is_wanted():
    [short] = said(FAILING.format(verbose=False))
    [whole] = said(FAILING.format(verbose=True))

    assert short["exception"] == "IndexError: pop from empty list"
    assert whole["exception"].startswith("Traceback")
    assert whole["exception"].endswith(short["exception"])


def test_libraries_speak_as_we_do_whatever_they_set_up():
    lines = said("""
        import logging, sys, warnings
        early = logging.getLogger("early")
        early.addHandler(logging.StreamHandler())
        early.propagate = False
        from caption_flow import logs
        logs.set_up("info", "json")
        late = logging.getLogger("late")
        late.addHandler(logging.StreamHandler(sys.stdout))
        late.propagate = False
        late.setLevel("INFO")
        early.warning("of one that was there")
        late.info("of one that came")
        warnings.warn("of Python")
    """)

    assert [line["logger"] for line in lines] == ["early", "late", "py.warnings"]


def test_file_that_a_library_writes_is_left_to_it(tmp_path: Any):
    said(f"""
        import logging
        from caption_flow import logs
        logs.set_up("info", "json")
        logging.getLogger("late").addHandler(logging.FileHandler({str(tmp_path / "log")!r}))
        logging.getLogger("late").warning("Hello")
    """)

    assert (tmp_path / "log").read_text() == "Hello\n"


def test_process_that_a_library_starts_speaks_as_the_one_that_started_it():
    [line] = said("""
        import subprocess, sys
        from caption_flow import logs
        logs.set_up("warning", "json")
        logs.speak_as(role="worker", job="photos")
        child = '''
        import logging
        from caption_flow import logs
        logs.inherit()
        logging.getLogger("vllm").warning("Hello")
        '''
        subprocess.run([sys.executable, "-c", "\\n".join(map(str.strip, child.splitlines()))])
    """)

    assert (line["message"], line["role"], line["job"]) == ("Hello", "worker", "photos")


def test_process_whose_parent_speaks_plainly_is_left_as_it_is():
    before = logging.root.handlers[:]

    logs.inherit()

    assert logging.root.handlers == before
