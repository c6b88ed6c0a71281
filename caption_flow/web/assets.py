"""Web: the files of the pages, which come with the package and hold no data."""

from collections.abc import Iterable, Mapping
from importlib.resources import files

from caption_flow.web.site import Answer, Asked, Page

SHARED = ("base.css", "dom.js", "gallery.js", "theme.js", "words.js", "icon.svg")
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def assets(index: str, names: Iterable[str]) -> Mapping[str, Page]:
    """Make pages of files: one is what stands at the root, each of the others at its name."""
    places = {"/": index} | {f"/{name}": name for name in names}
    return {place: _page(name) for place, name in places.items()}


def _page(name: str) -> Page:
    body = (files(__package__) / "assets" / name).read_bytes()
    answer = Answer(body, _KINDS[name[name.rindex(".") :]])

    async def page(_: Asked) -> Answer:
        return answer

    return page
