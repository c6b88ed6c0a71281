"""What may be configured of the data set, and of how its images travel."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, field

from caption_flow.config.sizes import MIB
from caption_flow.config.values import (
    ByteSize,
    Count,
    EngineArgs,
    LocalPath,
    Seconds,
    Settings,
    Share,
    Text,
    no_networks,
    refuse,
)

Images: TypeAlias = Literal["auto", "inline", "reference"]

_IMAGES: dict[str, Images] = {"feeder": "inline", "worker": "reference"}  # older words


class DownloadConfig(Settings, frozen=True):
    """How long a download may take, how often it is tried, and how many there are at once."""

    at_once: Count = 64  # downloads
    per_host: Count = 8  # of them, from one host and port
    seconds: Seconds = 60.0  # one try, redirects and body included
    connect_seconds: Seconds = 10.0  # name and address; again as much for TLS
    idle_seconds: Seconds = 15.0  # without a byte
    tries: Count = 4  # of one download
    redirects: Annotated[int, Meta(ge=0)] = 5  # of one try
    user_agent: Text | None = None  # None: name and version of this program
    ignore_robots_tag: bool = False  # use images whose server says noai or noimageai


class DatasetConfig(Settings, frozen=True):
    """What to caption."""

    type: Text = "folder"  # the kind of source; its entry point is looked up by this name
    dataset_path: LocalPath | None = None  # folder, glob, URL or repository, as the source reads
    name: Text | None = None
    revision: Text | None = None  # branch, tag or commit of a repository
    split: Text | None = None
    dataset_config: Text | None = None  # subset of a data set that has several
    shards: tuple[Text, ...] = ()  # only these, by name or pattern; empty: all
    limit: Count | None = None  # samples
    sample: Share = 1.0  # of the samples, the same ones each time
    columns: tuple[Text, ...] | None = None  # to carry; None: all that JSON can say
    dataset_url_column: Text = "image_url"
    dataset_image_column: Text = "image"
    image_root: LocalPath | None = None  # the folder of the files that rows name
    recursive: bool = True
    follow_symlinks: bool = False
    max_file_size: ByteSize = 100 * MIB
    sidecars: tuple[Literal["json", "txt"], ...] = ()  # files beside an image to read as columns
    cache_dir: LocalPath | None = None  # where a source keeps what it downloaded
    images: Images = "auto"  # through Redis, or where they lie; "auto": as the source finds best
    fetch: Literal["feeder", "worker"] | None = None  # the same in older words
    allow_networks: tuple[Text, ...] = ()  # addresses to fetch from, though they are not public
    download: DownloadConfig = field(default_factory=DownloadConfig)
    options: EngineArgs = field(default_factory=dict)  # for kinds that need more

    def __post_init__(self) -> None:
        if self.images not in {"auto", self.travel}:
            refuse([f'images is "{self.images}", but fetch is "{self.fetch}"; keep one of them'])
        refuse(no_networks(self.allow_networks))

    @property
    def travel(self) -> Images:
        """How images travel, in whichever words it was said."""
        return _IMAGES.get(self.fetch or "", self.images)
