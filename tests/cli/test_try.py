"""`caption-flow try`: what a run would write of a few images, shown at once."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.desk import Desk, Ended, settings, wait_until
from tests.e2e.pictures import draw, rows
from tests.engine.openai.stub import TRIAL, Call, Reply, Stub, completion, error

SIMULATED = ("--engine", "simulated")
CHECKED = {
    "quality": [{"check": "too_long", "words": 30, "retries": 2, "then": "flag"}],
    "postprocess": ["full_stop"],
}
STAGES = {
    "stages": [
        {"name": "describe", "prompts": ["Describe {title}.", "What colours?"], **CHECKED},
        {
            "name": "tag",
            "requires": ["describe"],
            "image": False,
            "prompts": ["Tags of: {captions}"],
            "output_field": "tags",
        },
    ]
}


@pytest.fixture
def photos(desk: Desk) -> Path:
    return draw(desk.folder / "photos", 3)


def written(desk: Desk, name: str, **document: Any) -> Path:
    path = desk.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"engine": "simulated", **document}))
    return path


def lines(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def prompts(shown: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (told for stage in shown["stages"] for told in stage["prompts"])


def flags(shown: dict[str, Any]) -> Iterator[str]:
    """The checks that failed, as a row names them."""
    for stage in shown["stages"]:
        for told in stage["prompts"]:
            yield from (f"{stage['stage']}:{flag}" for flag in told["flags"])


def captions(shown: dict[str, Any]) -> list[str]:
    return [told["caption"] for told in prompts(shown)]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def obeyed(text: str) -> set[str]:
    """What a terminal may take for a command."""
    return {character for character in text if not (character.isprintable() or character == "\n")}


def test_each_prompt_is_shown_with_its_caption_and_what_it_took(desk: Desk, photos: Path):
    image = photos / "00000.jpg"

    ended = desk.run("try", image, *SIMULATED, "--prompt", "Name it.", "--prompt", "Where is it?")

    assert ended.code == 0, ended.words
    assert str(image) in ended.out
    assert all(word in ended.out for word in ("Name it.", "Where is it?", "2 + ", " tokens, "))
    assert ended.out.count(digest(image)) == 2
    assert "1 image, 2 captions, " in ended.out.splitlines()[-1]
    assert not any(line.endswith(" ") for line in ended.out.splitlines())


def test_nothing_is_written_and_logs_are_no_results(desk: Desk, photos: Path):
    before = set(desk.folder.iterdir())

    ended = desk.run("try", "--image", photos / "00000.jpg", *SIMULATED)

    assert set(desk.folder.iterdir()) == before
    assert "Loading the engine" in ended.err
    assert "Loading" not in ended.out


def test_images_of_flags_files_and_folders_are_captioned_once_in_order(desk: Desk, photos: Path):
    two, folder = photos / "00001.jpg", draw(desk.folder / "more", 4, first=7)

    ended = desk.run("try", two, "--image", folder, two, "--limit", 2, *SIMULATED, "--json")

    named = [Path(line["image"]).name for line in lines(ended)]
    assert named == ["00001.jpg", "00007.jpg", "00008.jpg"]


@pytest.mark.parametrize("flags", [("--column", "title=A walk"), ("--set", "dataset.sidecars=txt")])
def test_columns_fill_in_the_prompts(desk: Desk, photos: Path, flags: tuple[str, ...]):
    (photos / "00000.txt").write_text("A walk")
    column = "title" if "--column" in flags else "text"

    ended = desk.run(
        "try", photos / "00000.jpg", *SIMULATED, "--prompt", f"Describe {{{column}}}.", *flags
    )

    assert "Describe A walk." in ended.out, ended.words


def test_system_prompt_is_shown_as_filled_in(desk: Desk, photos: Path):
    system = settings(vllm__system_prompt="You see {title}.")

    ended = desk.run(
        "try", photos / "00000.jpg", *SIMULATED, *system, "--column", "title=a walk", "--json"
    )

    [shown] = lines(ended)
    assert [told["system_prompt"] for told in prompts(shown)] == ["You see a walk."]


def test_prompt_without_its_column_is_refused_before_anything_is_loaded(desk: Desk, photos: Path):
    document = written(desk, "job", vllm=STAGES)

    ended = desk.run("try", photos, "--config", document)

    assert ended.code == 2
    assert "vllm.stages[0].prompts[0] has {title}, but no image here has" in ended.err
    assert 'Give it with --column "title=TEXT".' in ended.err
    assert "Loading" not in ended.err


def test_missing_model_is_told_with_its_document(desk: Desk, photos: Path):
    other = written(desk, "other", engine="vllm")

    ended = desk.run("try", photos, "--compare", other, "--config", other)

    assert ended.code == 2, ended.words
    assert f"{other}: vllm.model is missing" in ended.err


def test_column_of_a_stage_that_is_not_tried_is_not_asked_for(desk: Desk, photos: Path):
    stages = [{"name": "first", "prompts": ["One."]}, {"name": "second", "prompts": ["{title}"]}]
    document = written(desk, "job", vllm={"stages": stages})

    assert desk.run("try", photos, "--config", document, "--stage", "first").code == 0
    assert desk.run("try", photos, "--config", document).code == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "Name the images to caption"),
        (("photos", "--column", "title"), "--column title: write NAME=TEXT"),
        (("photos", "--stage", "captoin"), 'no stage "captoin"; did you mean "caption"?'),
        (("photos", "--set", "vllm.batchsize=3"), 'did you mean "batch_size"?'),
        (("photos", "--compare", "none.yaml"), "none.yaml is not there"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_wrong_use_is_told(desk: Desk, flags: tuple[str, ...], said: str):
    ended = desk.run("try", *SIMULATED, *flags)

    assert ended.code == 2
    assert said in ended.err


def test_images_that_cannot_be_read_are_named_and_the_others_go_on(desk: Desk, photos: Path):
    (desk.folder / "empty").mkdir()
    (photos / "00001.jpg").write_bytes(b"no image at all")
    gone, named = photos / "gone.jpg", ("00000.jpg", "00001.jpg", "00002.jpg")

    ended = desk.run("try", *(photos / name for name in named), gone, "empty", *SIMULATED, "--json")

    assert ended.code == 1
    found = {Path(line["image"]).name: line for line in lines(ended)}
    failed = {name: line["failure"]["reason"] for name, line in found.items() if line["failure"]}
    assert failed == {"00001.jpg": "not_an_image", "gone.jpg": "unreadable", "empty": "unreadable"}
    assert [digest(photos / name) in captions(found[name])[0] for name in named[::2]] == [True] * 2


def test_no_model_is_loaded_where_no_image_can_be_shown(desk: Desk):
    ended = desk.run("try", "gone.jpg", *SIMULATED)

    assert ended.code == 1
    assert "fails: unreadable, it cannot be read: No such file or directory" in ended.out
    assert "Loading" not in ended.err


def test_what_is_shown_is_what_a_run_writes(desk: Desk, photos: Path):
    """Prompts, second tries, polish, later stages and limits of images: all are the worker's."""
    for image in sorted(photos.iterdir()):
        image.with_suffix(".json").write_text(json.dumps({"title": f"No {image.stem}"}))
    limits = {"dataset": {"sidecars": ["json"]}, "images": {"max_side": 24}}
    document = written(desk, "job", vllm=STAGES, **limits)

    tried = lines(desk.run("try", photos, "--config", document, "--json"))
    ran = desk.run("run", photos, "--config", document)

    assert ran.code == 0, ran.words
    found = {row["id"]: row for row in rows(desk.folder / "caption_data" / "photos")}
    for shown in tried:
        row, told = found[Path(shown["image"]).name], list(prompts(shown))
        assert captions(shown) == [*row["captions"], *row["tags"]]
        assert sum(one["output_tokens"] for one in told) == row["output_tokens"]
        assert max(len(one["tries"]) for one in told) == row["attempts"]
        assert set(flags(shown)) == set(row["quality_flags"])
    assert len(tried) == 3


def test_later_stages_are_asked_with_what_earlier_ones_wrote(desk: Desk, photos: Path):
    document = written(desk, "job", vllm=STAGES)

    ended = desk.run("try", photos, "--config", document, "--column", "title=it", "--json")

    for shown in lines(ended):
        [*described, tagged] = prompts(shown)
        assert tagged["prompt"] == f"Tags of: {', '.join(one['caption'] for one in described)}"


def test_try_ends_with_the_stage_that_is_named(desk: Desk, photos: Path):
    document = written(desk, "job", vllm=STAGES)
    flags = ("--config", document, "--column", "title=it", "--stage", "describe", "--json")

    [shown, *_] = lines(desk.run("try", photos, *flags))

    assert [stage["stage"] for stage in shown["stages"]] == ["describe"]


def test_columns_command_no_terminal(desk: Desk, photos: Path):
    evil = ("--column", "title=a\x1b[31m\x07\x9b\x7f\u202eb", "--prompt", "{title}")

    for more in ((), ("--json",), ("--compare", written(desk, "other"))):
        ended = desk.run("try", photos / "00000.jpg", *SIMULATED, *evil, *more)

        assert ended.code == 0, ended.words
        assert obeyed(ended.out) == set()


async def answering(desk: Desk, photos: Path, reply: Reply, *flags: object, **vllm: Any) -> Ended:
    """Try one image with a server that gives this reply."""

    async def behave(call: Call) -> Reply:
        return completion() if call.prompt == TRIAL else reply

    async with Stub(behave) as stub:
        pool = {"endpoints": [{"base_url": stub.url}]}
        document = written(desk, "job", engine="openai", openai=pool, vllm={"model": "m", **vllm})
        words = ("try", photos / "00000.jpg", "--config", document, *flags)
        return await asyncio.to_thread(desk.start(*words).wait)


async def test_captions_command_no_terminal(desk: Desk, photos: Path):
    evil = completion("a cat\x1b]0;owned\x07\x9b2J\nand a dog")

    ended = await answering(desk, photos, evil)

    assert ended.code == 0, ended.words
    assert "a cat\\x1b]0;owned\\x07" in ended.out
    assert obeyed(ended.out) == set()


async def test_fields_of_an_answer_are_shown(desk: Desk, photos: Path):
    schema = {"type": "object", "properties": {"color": {"type": "string"}}}

    reply = completion('{"color": "red\x1b"}')
    ended = await answering(desk, photos, reply, structured_outputs={"json": schema})

    assert any("color" in line and "red" in line for line in ended.out.splitlines()), ended.words


async def test_raw_text_is_shown_where_polish_changed_it(desk: Desk, photos: Path):
    ended = await answering(desk, photos, completion("A cat"), postprocess=["full_stop"])

    told = {" ".join(line.split()) for line in ended.out.splitlines()}
    assert {"caption A cat.", "before polish A cat"} <= told


async def test_refused_request_is_shown_with_its_reason(desk: Desk, photos: Path):
    ended = await answering(desk, photos, error(400, "this prompt is too long"))

    assert ended.code == 1, ended.words
    assert "fails in the stage caption: refused, " in ended.out


async def test_rejected_caption_is_shown_with_all_that_was_said(desk: Desk, photos: Path):
    check = {"check": "too_short", "words": 3, "retries": 1, "then": "reject"}

    ended = await answering(desk, photos, completion("A cat"), "--json", quality=[check])

    [shown] = lines(ended)
    assert (ended.code, shown["failure"]["reason"]) == (1, "rejected_too_short")
    assert shown["stages"][0]["prompts"][0]["tries"] == ["A cat", "A cat"]
    assert captions(shown) == [None]


def test_image_that_kills_the_engine_harms_no_other(desk: Desk, photos: Path):
    killer = hashlib.sha256((photos / "00001.jpg").read_bytes()).hexdigest()
    deadly = {"dies_of": [killer], "latency": [0.05, 0.1]}

    ended = desk.run("try", photos, "--config", written(desk, "job", simulated=deadly), "--json")

    assert ended.code == 1
    failed = [shown["failure"] and shown["failure"]["reason"] for shown in lines(ended)]
    assert failed == [None, "engine_died", None]


def test_settings_are_compared_side_by_side(desk: Desk, photos: Path):
    vllm = {"inference_prompts": ["Name it."]}
    first, second = written(desk, "a"), written(desk, "b", vllm=vllm)

    ended = desk.run("try", photos, "--config", first, "--compare", second)

    assert ended.code == 0, ended.words
    differs = 'stages[caption].prompts: ["Describe the image."] → ["Name it."]'
    assert ended.out.splitlines()[1].strip() == differs
    beside = [line for line in ended.out.splitlines() if "Describe the image." in line]
    assert [line.index("Describe") < line.index("Name it.") for line in beside[1:]] == [True] * 3
    assert [line[:11] for line in ended.out.splitlines()[-2:]] == ["A: 3 images", "B: 3 images"]


@pytest.mark.parametrize(("latency", "loads"), [([0, 0], 1), ([0, 0.01], 2)])
def test_engine_is_loaded_again_only_where_it_is_another(
    desk: Desk, photos: Path, latency: list[float], loads: int
):
    vllm, simulated = {"inference_prompts": ["Name it."]}, {"latency": latency}
    first, second = written(desk, "a"), written(desk, "b", vllm=vllm, simulated=simulated)

    ended = desk.run("try", photos, "--config", first, "--compare", second, "--json")

    assert ended.err.count("Loading the engine") == loads
    assert [shown["settings"] for shown in lines(ended)] == [*"AAABBB"]


def test_interrupt_ends_at_once(desk: Desk, photos: Path):
    slow = settings(simulated__latency="[60, 60]")
    running = desk.start("try", photos, *SIMULATED, *slow)
    wait_until(lambda: "Loading the engine" in running.err, "an engine")

    ended = running.interrupt()

    assert ended.code == 1
    assert ended.err.splitlines()[-1] == "Error: Stopped."
    assert ended.seconds < 30
