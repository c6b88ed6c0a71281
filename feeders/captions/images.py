"""Where the images are that an earlier job captioned.

A row says it of images behind URLs and of files in a folder. All others lie in a file that holds
more: the source of the data set that was captioned reads them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import groupby, islice
from threading import Lock
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.dataset.source import Source, SourceOptions, open_source
from caption_flow.errors import ConfigError
from caption_flow.fetch import BlockingClient, FetchFailed
from caption_flow.fetch.urls import Url
from caption_flow.model import Columns, Listed, Picture, Raw, Reference
from feeders.captions.likeness import is_another
from feeders.captions.reading import TOGETHER
from feeders.captions.roots import Roots
from feeders.urls.fetching import with_images

_OPTION = "images"
_KIND, _PATH = "type", "dataset_path"
_SHAPE = (
    f'dataset.options.{_OPTION} must say which data set was captioned: {{"{_KIND}": "webdataset", '
    f'"{_PATH}": "/data/tars"}}; or, where dataset_path names several folders, one such for each.'
)
_URLS = ("http://", "https://")
_ANOTHER = (
    "{} is another image than the one that was captioned. Set dataset.image_root to the folder of "
    f"those; or if it is the same, written anew, name its folder under dataset.options.{_OPTION}"
)


class Known(Struct, frozen=True):
    """A sample of which there is a row."""

    id: str
    name: str  # within its shard
    folder: int  # of parts, that the row is from
    source: str  # as the row says it
    columns: Columns
    picture: Picture | None = None  # what the row says of the image

    @property
    def bare(self) -> Raw:
        """The sample without its image."""
        return Raw(self.id, self.source, columns=self.columns)


class ByUrl:
    """The image lies behind the URL that is its source."""


Keeper: TypeAlias = Source | ByUrl | str  # or why nobody has the image


class Images:
    """Finds who has an image."""

    def __init__(self, options: SourceOptions, folders: int) -> None:
        self._options = replace(options, extra={})
        self._originals = [self._open(kind, path) for kind, path in _told(options, folders)]
        self._roots = Roots(self._options)
        self._moved = options.image_root is not None
        self._by_url = ByUrl()
        self._lock = Lock()

    @property
    def original(self) -> Source | None:
        """The data set that was captioned; None where none is named, or several."""
        return self._originals[0] if len(self._originals) == 1 else None

    def keeper(self, shard: str, one: Known) -> Keeper:
        """Say who has the image of a sample."""
        if self._originals:
            return self._originals[one.folder % len(self._originals)]
        kind = _kind(shard, one)
        if kind is ByUrl:
            return self._by_url
        if kind is Roots:
            return self._roots.of(_root(one), one.id)
        return f"it lies within {one.source}, and of which data set has to be said. {_SHAPE}"

    def admit(self, rows: Sequence[tuple[str, Known]]) -> None:
        """Learn from the first rows of a job, and their shards, which folder may be read.

        Where one of them is behind a URL it is none: a folder is then what a stranger added.
        """
        kinds = [_kind(shard, one) for shard, one in rows]
        if not self._originals and ByUrl not in kinds:
            in_folders = [one for (_, one), kind in zip(rows, kinds, strict=True) if kind is Roots]
            self._roots.admit([_root(one) for one in in_folders])

    def of(self, shard: str, samples: Iterable[Known | Raw], fingerprint: str) -> Iterator[Raw]:
        """Read the images of samples in their order; those that are given up stay so."""

        def keeper(one: Known | Raw) -> Keeper | None:
            return None if isinstance(one, Raw) else self.keeper(shard, one)

        for kept_by, run in groupby(samples, keeper):
            yield from self._run(kept_by, shard, run, fingerprint)

    def _run(
        self, keeper: Keeper | None, shard: str, run: Iterator[Any], fingerprint: str
    ) -> Iterator[Raw]:
        if keeper is None:
            return run
        if isinstance(keeper, str):
            return (replace(one.bare, error=keeper) for one in run)
        if isinstance(keeper, ByUrl):
            return self._fetched(_by_url(one.bare) for one in run)
        moved = self._moved and not self._originals
        return _read(keeper, shard, run, fingerprint, sample=_if_the_same if moved else _of)

    def _fetched(self, raws: Iterator[Raw]) -> Iterator[Raw]:
        if self._options.images != "inline":
            return raws
        bare = (replace(raw, reference=None) for raw in raws)
        with self._lock:
            client = self._client
        return with_images(bare, client, self._options.max_file_size)

    @cached_property
    def _client(self) -> BlockingClient:
        return BlockingClient(self._options.download, self._options.allow_networks)

    def _open(self, kind: str, path: str) -> Source:
        # Its columns stand in the rows already.
        return open_source(kind, replace(self._options, path=path, columns=(), sidecars=()))


def _read(
    source: Source,
    shard: str,
    run: Iterator[Known],
    fingerprint: str,
    *,
    sample: Callable[[Raw, Known], Raw],
) -> Iterator[Raw]:
    while some := list(islice(run, TOGETHER)):
        wanted = [Listed(one.name) for one in some]
        raws = source.samples(shard, wanted, fingerprint)
        yield from (sample(raw, one) for raw, one in zip(raws, some, strict=True))


def _of(raw: Raw, one: Known) -> Raw:
    return replace(raw, columns=one.columns)


def _if_the_same(raw: Raw, one: Known) -> Raw:
    """Give a sample, unless where its image is looked for lies another that is called so."""
    if raw.error or one.picture is None or not is_another(raw.image, one.picture):
        return _of(raw, one)
    return replace(one.bare, error=_ANOTHER.format(raw.source), reason="changed")


def _kind(shard: str, one: Known) -> type[ByUrl | Roots] | None:
    """Say how a source is to be read; None: it tells a part of a file."""
    if one.source.lower().startswith(_URLS) and not _is_within(shard, one):
        return ByUrl
    return Roots if one.source.endswith(f"/{one.id}") else None


def _root(one: Known) -> str:
    return one.source[: -len(one.id) - 1] or "/"


def _by_url(raw: Raw) -> Raw:
    try:
        Url.parse(raw.source)
    except FetchFailed as exc:
        return replace(raw, error=exc.detail, reason=exc.reason)
    return replace(raw, reference=Reference(raw.source))


def _is_within(shard: str, one: Known) -> bool:
    """Whether a source names a part of a file: a row, or a member of a tar."""
    file, mark, part = one.source.partition("#")
    named = part == one.name or part.startswith(f"{one.name}.")
    return bool(mark) and (named or file.endswith(f"/{shard}"))


def _told(options: SourceOptions, folders: int) -> list[tuple[str, str]]:
    """Read which data sets were captioned, as far as the options say it."""
    for name in options.extra:
        if name != _OPTION:
            raise ConfigError(f'The source of captions has no option "{name}", but "{_OPTION}".')
    given = options.extra.get(_OPTION, [])
    originals = given if isinstance(given, list) else [given]
    if len(originals) not in {0, 1, folders} or not all(map(_is_shaped, originals)):
        raise ConfigError(_SHAPE)
    return [(one[_KIND], one[_PATH]) for one in originals]


def _is_shaped(original: Any) -> bool:
    return (
        isinstance(original, dict)
        and set(original) == {_KIND, _PATH}
        and all(isinstance(value, str) and value for value in original.values())
    )
