"""What lies in a data set, from the names of its files: heard once, when it is opened."""

from collections.abc import Callable

from caption_flow.dataset.source import SourceOptions
from feeders.files.find import Files
from feeders.files.port import File, FileGone
from feeders.folder import EXTENSIONS
from feeders.huggingface import card, saved
from feeders.huggingface.card import Subset
from feeders.huggingface.splits import Splits
from feeders.huggingface.whole import whole
from feeders.tables import SUFFIXES as TABLES

IMAGES = tuple(sorted(EXTENSIONS))
TARS = (".tar",)
SUFFIXES = (*TABLES, *TARS, *IMAGES, saved.STATE, card.NAME.lower())

_ROWS = (".parquet", ".arrow")
_METADATA = frozenset(f"metadata{suffix}" for suffix in TABLES)


class Survey:
    """Holds the names of all but images, of which there may be very many."""

    def __init__(self, files: Files, keep: Callable[[str], bool]) -> None:
        self.states: list[File] = []
        self.rows: list[str] = []  # tables that may hold images
        self.texts: list[str] = []  # other tables
        self.metadata: list[str] = []  # tables that tell of image files
        self.tars: list[str] = []
        self.images = Splits()
        self.image: File | None = None  # the first one
        for file in files.list():
            if saved.is_state(file.name):
                self.states.append(file)
            elif keep(file.name):
                self._hear(file)

    def _hear(self, file: File) -> None:
        name = file.name.lower()
        base = name.rpartition("/")[2]
        if base in _METADATA:
            self.metadata.append(file.name)
        elif name.endswith(_ROWS):
            self.rows.append(file.name)
        elif name.endswith(TARS):
            self.tars.append(file.name)
        elif name.endswith(IMAGES):
            self.images.hear(file.name)
            self.image = self.image or file
        elif name.endswith(TABLES):
            self.texts.append(file.name)

    def tables(self) -> list[str]:
        """Give the tables whose rows are the samples; empty where something else is."""
        if self.images.any:
            found = self.rows or self.metadata
        else:  # then what is called metadata is a table like any other
            named = [name for name in self.metadata if name.lower().endswith(_ROWS)]
            found = self.rows + named or _lists(self.texts + self.metadata)
        return [] if self._beside_tars(found) else found

    def _beside_tars(self, tables: list[str]) -> bool:
        """Whether each table stands beside a tar of its name, and tells what is in that."""
        stems = {name.rpartition(".")[0] for name in self.tars}
        return bool(stems) and all(name.rpartition(".")[0] in stems for name in tables)


def subset_of(files: Files, options: SourceOptions) -> Subset | None:
    """Read which subset is meant, if the data set has a card that tells of any."""
    try:
        readme = files.get(card.NAME)
        said = whole(readme, card.LARGEST)
    except FileGone:
        return card.pick([], options.subset, options.path)
    return card.pick(card.subsets(said, readme.where), options.subset, options.path)


def _lists(texts: list[str]) -> list[str]:
    """Leave out plain text where there are tables: it is a licence, or the like."""
    tables = [name for name in texts if not name.lower().endswith(".txt")]
    return tables or (texts if len(texts) == 1 else [])
