"""The project as a whole: what its documents, examples and metadata say is so."""

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
import webdataset
import yaml

from caption_flow import __version__
from caption_flow.cli import main
from tests import require
from tests.e2e.conftest import desk
from tests.e2e.desk import Desk, settings
from tests.e2e.pictures import digests, draw, rows, said
from tests.engine.openai.stub import Stub
from tests.engine.openai.test_run import truthful
from tests.fetch.naughty import NaughtyServer
from tests.redis_server import RedisServer

__all__ = ["desk"]

ROOT = Path(__file__).parents[1]
SIMULATED = settings(engine="simulated")


def files() -> Iterator[Path]:
    """The files of the project, without what tools and runs leave behind."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            f for f in folders if f == ".ci" or not f.startswith((".", "__", "caption_d"))
        ]
        yield from (Path(folder, name) for name in names)


FILES = sorted(files())
PAGES = [path for path in FILES if path.suffix == ".md"]
SCRIPTS = [path for path in FILES if path.suffix == ".sh" or path.parent.name == ".ci"]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# Each example, run


def test_each_example_is_run_by_a_test_below():
    examples = sorted(path.name for path in (ROOT / "examples").glob("*.yaml"))

    assert examples == [
        *(
            "again.yaml",
            "lanes.yaml",
            "openai.yaml",
            "orchestrator.yaml",
            "run.yaml",
            "urls.yaml",
            "webdataset.yaml",
            "worker.yaml",
        )
    ]


def test_example_of_run_runs(desk: Desk):
    images = draw(desk.folder / "photos", 5)
    shutil.copyfile(ROOT / "examples" / "run.yaml", desk.folder / "run.yaml")

    done = desk.run("run", images, *SIMULATED)

    assert done.code == 0, done.words
    assert said(rows(desk.folder / "caption_data" / "photos")) == sorted(digests(images).items())


def test_example_of_lanes_runs(desk: Desk):
    images = draw(desk.folder / "photos", 5)
    document = ("--config", ROOT / "examples" / "lanes.yaml", "--set", "chunk_size=1")

    done = desk.run("run", images, *document, *SIMULATED)

    assert done.code == 0, done.words
    assert said(rows(desk.folder / "caption_data" / "photos")) == sorted(digests(images).items())


def test_examples_of_roles_apart_run_together(desk: Desk, redis_url: str):
    """As their first lines say: feed and sink read one document, a worker the other."""
    images = draw(desk.folder / "photos", 5)
    for name in ("orchestrator.yaml", "worker.yaml"):
        shutil.copyfile(ROOT / "examples" / name, desk.folder / name)
    redis = ("--redis", redis_url)
    started = [
        desk.start("feed", *redis, *SIMULATED),
        desk.start("worker", *redis, "--exit-when-done"),
        desk.start("sink", *redis, *SIMULATED, "--exit-when-done"),
    ]

    ended = [command.wait() for command in started]

    found = rows(desk.folder / "caption_data" / "photos")
    assert [end.code for end in ended] == [0, 0, 0], ended
    assert [len(row["captions"]) for row in found] == [2] * 5  # the document has two prompts
    assert said(found) == sorted(digests(images).items())


def test_example_of_an_orchestrator_runs(desk: Desk, redis_url: str):
    images = draw(desk.folder / "photos", 5)
    document = ("--config", ROOT / "examples" / "orchestrator.yaml", "--redis", redis_url)
    orchestrator = desk.start("orchestrator", *document, *SIMULATED, "--exit-when-done")
    desk.start("worker", "--redis", redis_url, "--job", "photos", "--exit-when-done")

    done = orchestrator.wait()

    assert done.code == 0, done.words
    assert "Warning" not in done.err
    assert said(rows(desk.folder / "caption_data" / "photos")) == sorted(digests(images).items())


def test_example_of_urls_runs(desk: Desk):
    images = draw(desk.folder / "served", 5)
    document = ("--config", ROOT / "examples" / "urls.yaml", "--allow-network", "127.0.0.1")
    with NaughtyServer() as web:
        urls = {web.serve(f"/{file.name}", file.read_bytes()): file for file in images.iterdir()}
        lines = [f"{url},picture {n}" for n, url in enumerate(urls)]
        (desk.folder / "links.csv").write_text("\n".join(["image_url,title", *lines]))

        done = desk.run("run", "links.csv", *document, *SIMULATED)

    assert done.code == 0, done.words
    found = rows(desk.folder / "caption_data" / "links.csv")
    assert {row["source"]: row["captions"][0].split()[2] for row in found} == {
        url: digests(images)[file.name] for url, file in urls.items()
    }
    assert {row["title"] for row in found} == {f"picture {n}" for n in range(5)}


def test_example_of_tars_runs(desk: Desk):
    images = draw(desk.folder / "drawn", 5)
    with webdataset.TarWriter(str(desk.folder / "0.tar")) as tar:
        for file in images.iterdir():
            image, text = file.read_bytes(), f"picture {file.stem}"
            tar.write({"__key__": file.stem, "jpg": image, "txt": text, "cls": 1})

    document = ("--config", ROOT / "examples" / "webdataset.yaml")
    done = desk.run("run", "0.tar", *document, *SIMULATED)

    assert done.code == 0, done.words
    found = rows(desk.folder / "caption_data" / "0.tar")
    assert {row["id"]: row["txt"] for row in found} == {
        f"0.tar/{file.stem}": f"picture {file.stem}" for file in images.iterdir()
    }


def test_example_of_captioning_again_runs(desk: Desk):
    images = draw(desk.folder / "photos", 5)
    desk.run("run", images, *SIMULATED)
    document = ("--config", ROOT / "examples" / "again.yaml")

    done = desk.run("run", "caption_data/photos", *document, *SIMULATED)

    assert done.code == 0, done.words
    before = {row["id"]: row["captions"] for row in rows(desk.folder / "caption_data" / "photos")}
    found = rows(desk.folder / "caption_data" / "photos-again")
    assert {row["id"]: row["captions"] for row in found} == before
    assert {row["id"]: row["improved"][0].split()[2] for row in found} == digests(images)


async def test_example_of_servers_elsewhere_runs(desk: Desk):
    images = draw(desk.folder / "photos", 5)
    text = (ROOT / "examples" / "openai.yaml").read_text()
    async with Stub(truthful) as stub:
        (desk.folder / "openai.yaml").write_text(text.replace("http://localhost:8000/v1", stub.url))

        done = await asyncio.to_thread(desk.run, "run", images, "--config", "openai.yaml")

    assert done.code == 0, done.words
    assert said(rows(desk.folder / "caption_data" / "photos")) == sorted(digests(images).items())


# What is told


TOLD = re.compile(r"(?:^|[\s`/])caption-flow +([a-z_]+\b[^`\n#|]*)")
TELLING = [*PAGES, *(p for p in FILES if p.suffix == ".yaml"), ROOT / "examples" / "quickstart.sh"]


def told() -> Iterator[tuple[str, str]]:
    """Where a command is told, and its words after `caption-flow`."""
    for path in TELLING:
        for match in TOLD.finditer(path.read_text()):
            line = match[1].strip()
            yield name_of(path), line[:-1] if line.count('"') % 2 else line


@pytest.mark.parametrize(("place", "line"), sorted(set(told())))
def test_command_that_is_told_is_taken(place: str, line: str, monkeypatch: pytest.MonkeyPatch):
    """Click takes it apart and runs nothing; it knows the command and all its options."""
    monkeypatch.setattr("caption_flow.logs.set_up", lambda **_: None)
    name, *words = shlex.split(line)
    command = main.cli.get_command(click.Context(main.cli), name)

    assert command is not None, f"{place} tells of a command {name}"
    command.make_context(name, words).close()


LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_of_a_page_lead_somewhere(page: Path):
    targets = LINK.findall(page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_script_is_one(script: Path):
    subprocess.run(["bash", "-n", script], check=True)

    assert os.access(script, os.X_OK) or "bash " + name_of(script) in _all_told()


def _all_told() -> str:
    return "\n".join(path.read_text() for path in [*PAGES, *SCRIPTS])


def test_compose_starts_the_roles_with_one_redis():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]

    assert services.keys() == {"redis", "feed", "sink", "worker"}


def test_compose_takes_what_a_kill_has_cut_off_the_file_of_redis_before_it_starts(tmp_path: Path):
    with RedisServer(tmp_path, "--appendfsync", "always") as server:
        server.cli("EVAL", "redis.call('SET', 'a', 1) redis.call('SET', 'b', 1)", 0)
    [aof] = tmp_path.glob("appendonlydir/*.incr.aof")
    aof.write_bytes(aof.read_bytes()[:-20])

    started = _start_redis_as_compose_does(tmp_path)

    assert "redis-server --appendonly yes" in started
    assert "--maxmemory-policy noeviction" in started
    assert "--rdbcompression no" in started
    assert b"MULTI" not in aof.read_bytes()


def _start_redis_as_compose_does(data: Path) -> str:
    """Run its command, in an image that starts nothing but says what it is to start."""
    entry = data / "docker-entrypoint.sh"
    entry.write_text('#!/bin/sh\necho "$@"')
    entry.chmod(0o755)
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    done = subprocess.run(
        [word.replace("$$", "$") for word in services["redis"]["command"]],
        cwd=data,
        env=os.environ | {"PATH": f"{data}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_compose_file_is_taken_by_docker_compose():
    require(shutil.which("docker-compose"), "docker-compose")

    done = subprocess.run(
        ["docker-compose", "--file", ROOT / "compose.yaml", "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


# What holds for the code


def test_imports_point_down():
    require(find_spec("importlinter"), "import-linter")
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"

    done = subprocess.run(
        [sys.executable, "-c", lint, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_version_is_told_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    place = project["tool"]["hatch"]["version"]["path"]

    assert "version" in project["project"]["dynamic"]
    assert f'__version__ = "{__version__}"' in (ROOT / place).read_text()


def test_changelog_begins_with_what_comes_next_or_with_this_version():
    first, *_ = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert first in {"Unreleased", __version__}


TOP = {
    *("CHANGELOG.md", "LICENSE", "README.md", "compose.yaml", "pyproject.toml"),
    *("caption_flow", "docs", "examples", "feeders", "tests"),
}


def test_nothing_else_is_kept_at_the_top():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    require(listed.returncode == 0, "the history of the project")
    kept = {path.partition("/")[0] for path in listed.stdout.decode().split("\0") if path}

    assert {name for name in kept if not name.startswith(".")} == TOP


# Spelled in pieces, or this file would name them.
FOREIGN = [
    *(f"/{folder}/" for folder in ("work", "root")),
    *(f"{name}.org" for name in ("pypi", "pythonhosted", "pytorch", "anaconda", "npmjs", "golang")),
    *(f"{name}.io" for name in ("crates", "ghcr", "docker", "quay")),
]
IN_CONTAINERS = {"compose.yaml": "pip-cache:/" + "root/.cache/pip"}  # where the image has its home


@pytest.mark.parametrize("piece", FOREIGN)
def test_no_file_names_a_place_of_one_machine_or_a_registry(piece: str):
    found = [
        name_of(path)
        for path in FILES
        if piece.encode() in path.read_bytes().replace(_allowed(path), b"")
    ]

    assert found == []


def _allowed(path: Path) -> bytes:
    return IN_CONTAINERS.get(name_of(path), "\0nothing\0").encode()
