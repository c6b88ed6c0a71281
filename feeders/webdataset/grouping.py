"""Which members of a tar make which sample, by WebDataset's rule.

Members that follow each other and have the same name up to the first dot of the last component
are one sample; what comes after that dot is the extension. One of them is the image.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from caption_flow.dataset.source import SourceOptions
from caption_flow.model import Listed
from feeders.webdataset import places
from feeders.webdataset.places import Member

logger = logging.getLogger(__name__)

# Of several images of one sample the first of these is captioned.
IMAGES = (
    "jpg", "jpeg", "png", "webp", "avif", "gif", "bmp", "tif", "tiff", "jpe", "jfif", "jif", "apng",
    "dib",
)  # fmt: skip
TEXTS = ("json", "txt", "cls")  # what becomes columns unasked
LONGEST = 1024  # characters of a sample's name; it travels with all that is said of the sample

_NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)", re.DOTALL)
_ABOUT = re.compile(r"__[^/]*__/")  # what is said of the tar itself
_WORDS = {
    "no_image": "%d without an image",
    "twice": "%d with two members of one extension, of which the first counts",
    "no_name": "%d members with names that cannot be used",
}


class Choice:
    """Which extensions matter."""

    def __init__(self, options: SourceOptions) -> None:
        self._images = (options.image_column.lower(), *IMAGES)
        self._columns = options.columns
        asked = {name.lower() for name in options.columns or ()}
        texts = TEXTS if options.columns is None else ("json",) if asked - set(TEXTS[1:]) else ()
        self.texts = frozenset(texts) | {one for one in asked if places.can_be_spelled(one)}

    @property
    def spelled(self) -> str:
        """The same as text: an index is good for one choice only."""
        return f"{self._images[0]} {' '.join(sorted(self.texts))}"

    def image(self, members: Iterable[Member]) -> Member | None:
        """Find the image among a sample's members."""
        ranked = [(rank, one) for one in members if (rank := self._rank(one.name)) is not None]
        return min(ranked, key=lambda pair: pair[0])[1] if ranked else None

    def matters(self, extension: str) -> bool:
        """Whether a member of this extension is of any use."""
        useful = extension in self.texts or self._rank(extension) is not None
        return useful and places.can_be_spelled(extension)

    def is_image(self, extension: str) -> bool:
        """Whether a member of this extension may be an image."""
        return self._rank(extension) is not None

    def wants(self, column: str) -> bool:
        """Whether a column is to be carried."""
        return self._columns is None or column in self._columns

    def _rank(self, extension: str) -> tuple[int, int] | None:
        """Say how good an image an extension makes; "2.jpg" is one where there is no better."""
        if extension in self._images:
            return 0, self._images.index(extension)
        last = extension.rpartition(".")[2]
        return (1, IMAGES.index(last)) if last in IMAGES else None


def samples(found: Iterable[Member], choice: Choice, where: str) -> Iterator[Listed]:
    """Give the samples of a tar in their order, and say how many it has that are none."""
    counts: Counter[str] = Counter()
    names = _Names()
    for key, members in _runs(found, choice, counts):
        image = choice.image(members)
        if image is None:
            counts["no_image"] += 1
            continue
        texts = [one for one in members if one is not image and one.name in choice.texts]
        yield Listed(names.give(key), places.spell([image, *texts]))
    if counts:
        told = ", ".join(_WORDS[word] % count for word, count in sorted(counts.items()))
        logger.warning("Samples passed over in %s: %s", where, told)


def _runs(
    found: Iterable[Member], choice: Choice, counts: Counter[str]
) -> Iterator[tuple[str, list[Member]]]:
    """Put members of one key together, by their extensions."""
    current, held = "", dict[str, Member]()
    for member in found:
        key, extension = split(member.name)
        if len(key) > LONGEST:
            counts["no_name"] += 1
            key = ""
        if not key:
            continue
        if key != current:
            if current:
                yield current, list(held.values())
            current, held = key, {}
        if extension in held:
            counts["twice"] += 1
        elif len(held) < places.MOST_MEMBERS and choice.matters(extension):
            held[extension] = replace(member, name=extension)
    if current:
        yield current, list(held.values())


def split(name: str) -> tuple[str, str]:
    """Split a member's name into key and extension; no key where it belongs to no sample."""
    plain = name.removeprefix("./")
    match = _NAME.fullmatch(plain)
    if match is None or _ABOUT.match(plain):
        return "", ""
    return match[1], match[2].lower()


class _Names:
    """The names given so far: each leads to one sample."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}  # with the number of the last one that began so

    def give(self, key: str) -> str:
        """Name a sample by its key; another way where that has come before."""
        name, number = key, self._given.get(key, 0)
        while name in self._given:
            number += 1
            name = f"{key}~{number}"
        self._given[key] = max(number, 1)
        self._given.setdefault(name, 1)
        return name
