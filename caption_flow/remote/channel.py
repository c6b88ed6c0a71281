"""Remote, one channel: the samples that came through it, and how many more may come.

The connection's thread puts in what comes; the worker and its keeper take out, each in a thread of
its own. So everything here is under one lock, which nobody holds for long, and nobody is woken for
each sample.
"""

import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from threading import Lock

from msgspec import Struct
from msgspec.structs import replace

from caption_flow.codec import records
from caption_flow.model import EntryId, Lease
from caption_flow.remote.bridge import Answer
from caption_flow.wire.frames import (
    MOST_BYTES,
    MOST_SAMPLES,
    Credit,
    SampleSent,
    Serve,
)

WINDOW = 32 << 20  # bytes of images that may come ahead of the worker


class Held(Struct):
    """A sample that is ours, and its image."""

    lease: Lease
    coming: bool  # its image comes unasked
    image: bytes | None = None
    gone: bool = False  # there is no image any more
    counted: int = 0  # bytes of the image that were on our credit


class Channel:
    """What one consumer holds, and its credit."""

    def __init__(self, number: int) -> None:
        self.number = number
        # Of the connection that is there, for its thread only:
        self.open = False
        self.opening = False  # the proxy was told, and has not answered
        self.trouble: Exception | None = None  # why it cannot be opened
        self.tickets: list[str] = []  # of all connections since it was open last, and that one's
        self._lock = Lock()
        self._serve: Serve | None = None  # as the worker wants it now
        self._resting: Serve | None = None  # in its stead, while the worker claims nothing
        self._wanted_at = 0.0  # when it claimed last, on the monotonic clock
        self._held: dict[EntryId, Held] = {}
        self._ready: deque[Lease] = deque()  # held, and not claimed yet
        self._settling: set[EntryId] = set()  # claimed, and being handed back or settled
        self._lost: set[EntryId] = set()  # claimed, and another's, as the worker does not know yet
        self._asked = 0  # samples that may still come
        self._most = MOST_SAMPLES
        self._due_samples = 0  # credit not given yet
        self._due_bytes = 0
        self._stored = 0  # bytes of images here that were on our credit
        self._window = WINDOW
        self._fetching: set[EntryId] = set()  # we have asked for their images, on no credit
        self._for_samples: list[Answer] = []  # who waits for any
        self._for_images: list[tuple[Answer, set[EntryId]]] = []  # who waits for all of these

    # The worker's side

    @property
    def serve(self) -> Serve | None:
        """What is to be served now; None: nobody has said."""
        return self._resting or self._serve

    def follow(self, serve: Serve) -> None:
        """Have this served from now on."""
        with self._lock:
            self._serve, self._resting = serve, None

    def rest(self, idle: float = 0.0) -> bool:
        """Let nothing more come for now; False where nothing would, or somebody claimed just now.

        Credit cannot be taken back, so nothing is served.
        """
        with self._lock:
            lately = time.monotonic() - self._wanted_at < idle
            coming = self._asked or self._ready
            if self._serve is None or self._resting or lately or not coming:
                return False
            self._resting = replace(self._serve, only=(), former=())
            return True

    @property
    def resting(self) -> bool:
        """Whether nothing more is to come; some may have been on its way."""
        return self._resting is not None

    def rise(self) -> bool:
        """Let samples come again; False where they do."""
        with self._lock:
            rested, self._resting = self._resting is not None, None
            return rested

    def want(self, count: int) -> bool:
        """Want so many samples; True where credit is to be given for it."""
        with self._lock:
            self._wanted_at = time.monotonic()
            more = min(count, self._most) - self._asked - len(self._ready)
            if more > 0:
                self._asked += more
                self._due_samples += more
            return more > 0

    def claim(self, count: int) -> list[Lease]:
        """Take out up to so many samples."""
        with self._lock:
            taken = self._claimable()[:count]
            if len(taken) == len(self._ready):
                self._ready.clear()
            else:
                entries = {lease.entry for lease in taken}
                self._ready = deque(x for x in self._ready if x.entry not in entries)
            return taken

    def await_samples(self, answer: Answer) -> bool:
        """Have the answer given when samples come; False where some are here."""
        with self._lock:
            if self._claimable():
                return False
            self._for_samples.append(answer)
            return True

    def to_fetch(self, leases: Iterable[Lease]) -> list[EntryId]:
        """Name those whose images must be asked for, and have not been."""
        with self._lock:
            found = [
                lease.entry
                for lease in leases
                if (held := self._of(lease)) and not held.coming and self._is_missing(held)
            ]
            self._fetching.update(found)
            return found

    def fetched(self, entries: Iterable[EntryId], *, came: bool) -> None:
        """Note that asking for images is over; what has not come then is gone."""
        with self._lock:
            for entry in entries:
                self._fetching.discard(entry)
                if came and (held := self._held.get(entry)):
                    held.gone = held.image is None

    def await_images(self, leases: Iterable[Lease], answer: Answer) -> bool:
        """Have the answer given when these images are here; False where they are."""
        with self._lock:
            wanted = {
                lease.entry
                for lease in leases
                if (held := self._of(lease)) and self._is_missing(held)
            }
            if wanted:
                self._for_images.append((answer, wanted))
            return bool(wanted)

    def take_images(self, leases: Iterable[Lease]) -> dict[EntryId, bytes]:
        """Take images out, but for those that are gone, or another's."""
        with self._lock:
            found = {}
            for lease in leases:
                held = self._of(lease)
                if held and held.image is not None:
                    found[lease.entry] = held.image
                    self._let_go_of_image(held)
            return found

    def ignore(self, answer: Answer) -> None:
        """Have an answer given no more."""
        with self._lock:
            self._for_samples = [one for one in self._for_samples if one is not answer]
            self._for_images = [one for one in self._for_images if one[0] is not answer]

    def begin_settling(self, leases: Iterable[Lease]) -> set[EntryId]:
        """Note that samples are about to be settled; names those that are still ours to settle."""
        with self._lock:
            entries = {lease.entry for lease in leases if self._of(lease)} - self._lost
            self._settling |= entries
            return entries

    def end_settling(self, leases: Iterable[Lease], *, settled: bool) -> None:
        """Note that the proxy has answered, or that it will be asked again."""
        with self._lock:
            for lease in leases:
                self._settling.discard(lease.entry)
                if settled:
                    self._forget(lease)
            self._tell()

    def drop(self, leases: Iterable[Lease]) -> None:
        """Hold samples no more."""
        with self._lock:
            for lease in leases:
                self._forget(lease)
            self._wake()

    def unclaimed(self) -> list[Lease]:
        """What has come and was not claimed yet."""
        with self._lock:
            return list(self._ready)

    def lost_of(self, leases: Sequence[Lease]) -> set[EntryId]:
        """Name those that were found to be another's since the worker was told last."""
        with self._lock:
            return {x.entry for x in leases if x.entry in self._lost} if self._lost else set()

    def lose_unclaimed(self, entries: Collection[EntryId]) -> None:
        """Hold those no more that nobody has claimed yet."""
        with self._lock:
            for lease in [lease for lease in self._ready if lease.entry in entries]:
                self._ready.remove(lease)
                self._forget(lease)

    # The connection's side

    def holding(self) -> tuple[EntryId, ...]:
        """Name what is held."""
        with self._lock:
            return tuple(entry for entry in self._held if entry not in self._lost)

    def ours(self, entries: Iterable[EntryId]) -> set[EntryId]:
        """Pick those that are held."""
        with self._lock:
            return {one for one in entries if one in self._held and one not in self._lost}

    def cut(self, ticket: str) -> None:
        """Note that the connection is gone, and with it all that was on its way."""
        self.tickets = [ticket] if self.open else [*self.tickets, ticket]
        with self._lock:
            self.open = self.opening = False
            for held in self._held.values():
                held.coming = False
                held.counted = 0
            self._fetching.clear()
            self._wake()

    def opened(self, lost: Iterable[EntryId], *, most_samples: int, most_bytes: int) -> None:
        """Begin on a new connection."""
        with self._lock:
            self.open = True
            self.trouble = None
            self._most = min(MOST_SAMPLES, most_samples)
            self._window = min(WINDOW, most_bytes, MOST_BYTES)
            for entry in lost:
                self._lose(entry)
            self._stored = 0
            for held in self._held.values():
                self._store(held)
            self._due_samples = self._asked = min(self._asked, self._most)
            self._due_bytes = max(0, self._window - self._stored)
            self._wake()

    def credit(self) -> Credit | None:
        """Take the credit that is to be given now."""
        with self._lock:
            samples, bytes_ = self._due_samples, self._due_bytes
            self._due_samples = self._due_bytes = 0
        return Credit(self.number, samples, bytes_) if samples or bytes_ else None

    def add(self, sent: SampleSent) -> None:
        """Put in a sample that has come."""
        with self._lock:
            self._asked = max(0, self._asked - 1)  # also by one that cannot be read
        lease = lease_of(sent)
        with self._lock:
            known = self._held.get(sent.entry)
            if known and not (sent.entry in self._settling or sent.entry in self._lost):
                known.coming = known.coming or sent.pushed
                return
            if known:
                self._let_go_of_image(known)
                self._ready = deque(x for x in self._ready if x is not known.lease)
            self._held[sent.entry] = Held(lease, sent.pushed)
            self._ready.append(lease)

    def add_image(self, entry: EntryId, image: bytes, *, gone: bool) -> None:
        """Put in an image that has come, or note that there is none."""
        with self._lock:
            held, asked = self._held.get(entry), entry in self._fetching
            if held is None or held.image is not None:
                self._due_bytes += 0 if asked else len(image)
                return
            held.coming, held.gone, held.image = False, gone, None if gone else image
            if not asked:
                self._store(held)
            for answer, wanted in self._for_images:
                wanted.discard(entry)
                if not wanted:
                    answer.give(None)
            self._for_images = [waiting for waiting in self._for_images if waiting[1]]

    def tell(self) -> None:
        """Wake those who wait for samples, if there are any."""
        with self._lock:
            self._tell()

    def fail(self, trouble: Exception) -> None:
        """Let nobody wait any more."""
        with self._lock:
            self._wake(trouble)

    # Under the lock

    def _claimable(self) -> list[Lease]:
        # One that comes again must wait until the worker has let go of it.
        busy = self._settling | self._lost
        return [lease for lease in self._ready if lease.entry not in busy]

    def _tell(self) -> None:
        if self._for_samples and self._claimable():
            self._wake_for_samples()

    def _of(self, lease: Lease) -> Held | None:
        held = self._held.get(lease.entry)
        return held if held and held.lease is lease else None

    def _is_missing(self, held: Held) -> bool:
        return held.image is None and not held.gone and held.lease.entry not in self._lost

    def _forget(self, lease: Lease) -> None:
        if held := self._of(lease):
            self._let_go_of_image(held)
            del self._held[lease.entry]
        self._lost.discard(lease.entry)

    def _lose(self, entry: EntryId) -> None:
        held = self._held.get(entry)
        if held is None:
            return
        if held.lease in self._ready:
            self._ready.remove(held.lease)
            self._forget(held.lease)
        else:
            self._lost.add(entry)

    def _store(self, held: Held) -> None:
        held.counted = len(held.image or b"")
        self._stored += held.counted

    def _let_go_of_image(self, held: Held) -> None:
        self._due_bytes += held.counted
        self._stored -= held.counted
        held.counted, held.image = 0, None

    def _wake(self, result: object = None) -> None:
        for answer, _ in self._for_images:
            answer.give(result)
        self._for_images.clear()
        self._wake_for_samples(result)

    def _wake_for_samples(self, result: object = None) -> None:
        for answer in self._for_samples:
            answer.give(result)
        self._for_samples.clear()


def lease_of(sent: SampleSent) -> Lease:
    """Read a sample; raises UnreadableRecord."""
    fields = {b"sample": sent.sample, b"image": sent.image.encode()}
    outcomes = {records.OUTCOME_PREFIX + b"%d" % n: made for n, made in enumerate(sent.outcomes)}
    return records.lease_from(
        sent.entry, sent.stage, fields | outcomes, sent.attempt, sent.failures
    )
