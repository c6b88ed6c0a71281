"""Images of URLs, fetched by the feeder: many at once, handed on in order."""

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from caption_flow.errors import SourceError
from caption_flow.fetch import BlockingClient, Fetched, FetchFailed, Request
from caption_flow.model import Raw

# Images. They are handed on in order, and behind a dead host that is waited for lie all these: of
# an old list a tenth is dead, and no chunk should have to wait for one after the other.
AHEAD = 1024
AHEAD_BYTES = 64 << 20  # of them


def with_images(raws: Iterable[Raw], client: BlockingClient, max_bytes: int) -> Iterator[Raw]:
    """Fetch the image of each that is not given up yet."""
    waiting: deque[Raw] = deque()
    requests = _requests(raws, waiting, max_bytes)
    for found in client.fetch_all(requests, ahead=AHEAD, ahead_bytes=AHEAD_BYTES):
        while waiting[0].error:
            yield waiting.popleft()
        yield _with_image(waiting.popleft(), found, client)
    yield from waiting


def _requests(raws: Iterable[Raw], waiting: deque[Raw], max_bytes: int) -> Iterator[Request]:
    for raw in raws:
        waiting.append(raw)
        if not raw.error:
            yield Request(raw.source, max_bytes)


def _with_image(raw: Raw, found: Fetched | FetchFailed, client: BlockingClient) -> Raw:
    if isinstance(found, Fetched):
        return msgspec.structs.replace(raw, image=found.body)
    if found.transient and client.cut_off:
        raise SourceError(
            f"No host answers any more, the last for {raw.id}: {found.detail}. This host's network "
            "seems to be gone, or theirs. Start again when it is back; no sample is lost."
        )
    return msgspec.structs.replace(raw, error=found.detail, reason=found.reason)
