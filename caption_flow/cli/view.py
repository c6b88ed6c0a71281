"""`caption-flow view`: look through finished captions and their images, in a browser or here."""

import asyncio
import os
import secrets
import socket
import sys
import threading
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import click
from msgspec import Struct

from caption_flow.cli.bar import Bar
from caption_flow.cli.options import configured, job_config, networks, overrides
from caption_flow.cli.running import run_async
from caption_flow.cli.view_place import cache_folder, found
from caption_flow.cli.view_tui import browse
from caption_flow.dataset.gallery import Gallery
from caption_flow.dataset.thumbnails import Thumbnails
from caption_flow.lifecycle import Beside, Drain
from caption_flow.view.guard import Guard
from caption_flow.view.viewer import Viewer
from caption_flow.web.here import is_loopback
from caption_flow.web.http import listening

_LOOK_SECONDS = 0.25  # between two looks at how far the index is
_LEAST_TOKEN = 16  # characters
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - where a token is demanded


@click.command("view")
@click.argument("where", metavar="[JOB or FOLDER]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--dataset", metavar="PATH", help="The images: a folder, a file, a URL, a place on the hub."
)
@click.option("--tui", is_flag=True, help="Look at them in this terminal.")
@click.option("--no-browser", is_flag=True, help="Open no browser; print the address only.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of the page; without it, any that is free.",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; beyond this host the page demands a token.",
)
@click.option(
    "--token",
    metavar="TOKEN",
    envvar="CAPTION_FLOW_VIEW_TOKEN",
    help="What the page demands; made up where it must and none is given.",
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder for captions.")
@networks
@configured
def command(
    where: Path | None,
    dataset: str | None,
    tui: bool,
    no_browser: bool,
    port: int,
    host: str,
    token: str | None,
    data_dir: Path | None,
    allow_networks: tuple[str, ...],
    explicit: Path | None,
    redis: str | None,
    job: str | None,
    changes: tuple[str, ...],
) -> None:
    """Look through the captions of finished parts, and their images.

    Names a job, or the folder of its parts; without it, the only job of the data directory. The
    images are read where the data set lies; that is known from --dataset, the document, or the
    job's Redis.
    """
    made = overrides(
        changes,
        dataset__dataset_path=dataset,
        dataset__allow_networks=allow_networks or None,
        redis=redis,
        job=job,
        storage__data_dir=data_dir,
    )
    door = _Door(host, port, _demanded(host, token))
    place = found(job_config("view", explicit, made, dict(os.environ)), where)
    with ExitStack() as stack:
        stack.callback(place.pixels.close)
        gallery = stack.enter_context(Gallery(place.folder, cache_folder()))
        if tui:
            browse(place.name, gallery, place.letters)
            return
        thumbnails = Thumbnails(place.pixels.of)
        stack.callback(thumbnails.close)
        viewer = Viewer(place.name, gallery, place.letters, thumbnails)
        opens = not no_browser and _can_open()
        run_async(lambda drain: _serve(viewer, gallery, door, drain, opens=opens))
        click.echo("Stopped.")


class _Door(Struct, frozen=True):
    host: str
    port: int  # 0: any that is free
    token: str | None  # that is demanded

    def address(self, port: int) -> str:
        """Spell the address of the page; a token behind "#" is sent to nobody."""
        host = socket.gethostname() if self.host in _EVERYWHERE else self.host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{port}/" + (f"#token={self.token}" if self.token else "")


def _demanded(host: str, token: str | None) -> str | None:
    """Say which token is demanded; None: none is."""
    if token is None:
        return None if host == "localhost" or is_loopback(host) else secrets.token_urlsafe(24)
    if len(token) < _LEAST_TOKEN or quote(token, safe="") != token:
        raise click.UsageError(
            f"--token needs {_LEAST_TOKEN} letters and digits or more. Without it, one is made."
        )
    return token


async def _serve(
    viewer: Viewer, gallery: Gallery, door: _Door, drain: Drain, *, opens: bool
) -> None:
    async with listening(viewer.site(Guard(door.token)), door.host, door.port) as port:
        address = door.address(port)
        click.echo(f"The captions of {viewer.name} are at {address}")
        if door.token and not is_loopback(door.host):
            click.echo("It is plain HTTP: whoever is on the way can read it.", err=True)
        if opens:
            # Not waited for: some browsers let us go only when they are closed.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        async with _Indexing(gallery):
            await drain.wait()


def _can_open() -> bool:
    """Whether a browser would open in a window, and not in this terminal."""
    windows = sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return sys.stdout.isatty() and windows


class _Indexing(Beside):
    """A bar on the terminal while rows are indexed."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    async def _run(self) -> None:
        while True:
            if self._gallery.state().indexing:
                await self._show()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _show(self) -> None:
        with Bar() as bar:
            while (state := self._gallery.state()).indexing:
                bar.see("indexing", state.indexed, state.rows)
                await asyncio.sleep(_LOOK_SECONDS)
