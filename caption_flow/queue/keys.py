"""Queue: where each thing of a job lives in Redis. A key is spelled here and nowhere else.

All keys of a lane share a hash tag, so that every script works on Redis Cluster.
"""

import json
import re

from msgspec import Struct

FEEDERS = "feeders"  # group on the chunk stream
WORKERS = "workers"  # group on each sample stream
CHECKERS = "checkers"  # group on each stream of captions to be checked
SINKS = "sinks"  # group on the caption stream

# Who holds what was handed back, until somebody takes it: XCLAIM needs a name.
RETURNED = "returned"

# Fields of the orders.
PAUSED = "paused"
DRAINED = "drain:"  # and the name of the member

_ESCAPED = re.compile(r"\\ud[89a-f][0-9a-f]{2}")

JOBS = "cf:jobs"  # set of job names, so that a worker without one can find the only one


def drained(member: str) -> str:
    """Name the field of the orders that drains a member."""
    return f"{DRAINED}{member}"


def id_to(id_: str) -> bytes:
    """Write a sample's id as a member of a set; it may hold what is not UTF-8."""
    return id_.encode("utf-8", "surrogatepass")


def id_from(member: bytes) -> str:
    """Read back what `id_to` wrote."""
    return member.decode("utf-8", "surrogatepass")


def shard_to(name: str) -> str:
    """Write a shard's name for the keys of what is kept of it, as scripts do; see lua/fail.lua."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return json.dumps(name)[1:-1]  # what is no text stays as JSON escapes it
    return name


def shard_from(written: str) -> str:
    """Read back what `shard_to` wrote; a name that has all such escapes as text looks like it."""
    if not _ESCAPED.search(written):
        return written
    try:
        name = str(json.loads(f'"{written}"'))
    except ValueError:  # so the escape is text
        return written
    return name if shard_to(name) == written else written


class JobKeys(Struct, frozen=True):
    """Keys of a whole job."""

    job: str

    @property
    def settings(self) -> str:
        """Hash: settings document, its version, who published it, the data set it is for."""
        return f"cf:{{{self.job}}}:settings"

    @property
    def stages(self) -> str:
        """Set: names of all stages that the settings ever had."""
        return f"cf:{{{self.job}}}:stages"

    @property
    def members(self) -> str:
        """Hash: live processes with their last word."""
        return f"cf:{{{self.job}}}:members"

    @property
    def orders(self) -> str:
        """Hash: what operators want of the processes: who paused the job, who drains which."""
        return f"cf:{{{self.job}}}:orders"

    @property
    def tokens(self) -> str:
        """Hash: what was last said of each token, and when; never a token itself."""
        return f"cf:{{{self.job}}}:tokens"

    def usage(self, role: str, name: str) -> str:
        """Hash: what a contributor was sent lately, in samples and bytes."""
        return f"cf:{{{self.job}}}:usage:{role}:{name}"

    def sessions(self, role: str, name: str) -> str:
        """Sorted set: connections of a contributor, by when they count no more."""
        return f"cf:{{{self.job}}}:sessions:{role}:{name}"


class LaneKeys(Struct, frozen=True):
    """Keys of one lane of a job."""

    job: str
    lane: int = 0

    def _key(self, name: str) -> str:
        return f"cf:{{{self.job}:{self.lane}}}:{name}"

    @property
    def chunks(self) -> str:
        """Stream: chunk descriptors."""
        return self._key("chunks")

    def samples(self, stage: str) -> str:
        """Stream: samples waiting for, or in, a stage."""
        return self._key(f"samples:{stage}")

    @property
    def images(self) -> str:
        """Stream: encoded images, read by id."""
        return self._key("images")

    @property
    def captions(self) -> str:
        """Stream: finished samples."""
        return self._key("captions")

    @property
    def dead(self) -> str:
        """Stream: dead letters."""
        return self._key("dead")

    @property
    def retried(self) -> str:
        """Set: ids of the samples that were dead letters and are, or were, tried again."""
        return self._key("retried")

    @property
    def dropped(self) -> str:
        """Set: ids of the samples that were dead letters and are wanted no more."""
        return self._key("dropped")

    @property
    def failures(self) -> str:
        """Hash: why samples that wait or are held failed on earlier attempts, by entry."""
        return self._key("failures")

    @property
    def cursors(self) -> str:
        """Hash: how far chunks are offered and the source is planned; the last move and image."""
        return self._key("cursors")

    @property
    def counts(self) -> str:
        """Hash: the books."""
        return self._key("counts")

    @property
    def history(self) -> str:
        """List: what the books said in the last hour, oldest first."""
        return self._key("history")

    @property
    def contributors(self) -> str:
        """Hash: what each contributor has made."""
        return self._key("contributors")

    def checks(self, stage: str) -> str:
        """Stream: captions of contributors that a trusted worker is to make again."""
        return self._key(f"checks:{stage}")

    def checking(self, stage: str) -> str:
        """Hash: samples that wait in `checks`, with their bytes, by their entry; `bytes` of all."""
        return self._key(f"checking:{stage}")

    def probes(self, consumer: str) -> str:
        """Hash: samples with known captions that a contributor's worker has in hand, by entry."""
        return self._key(f"probes:{consumer}")

    def shown(self, contributor: str) -> str:
        """Set: images with known captions that a contributor has seen, by name."""
        return self._key(f"shown:{contributor}")

    def disagreements(self, contributor: str) -> str:
        """List: the newest captions of a contributor that others disagree with."""
        return self._key(f"disagreements:{contributor}")

    @property
    def seal(self) -> str:
        """String: the key with which proxies seal the ids that clients see."""
        return self._key("seal")

    @property
    def parts(self) -> str:
        """Hash: committed parts."""
        return self._key("parts")

    @property
    def shards(self) -> str:
        """Hash: samples planned, captioned and dead, `SHARD:counter`, of each shard."""
        return self._key("shards")

    @property
    def shard_names(self) -> str:
        """Sorted set: the shards of which that is kept, by name."""
        return self._key("shard_names")

    @property
    def rewrites(self) -> str:
        """Hash: what is to become of parts that lose rows, until it is done."""
        return self._key("rewrites")

    @property
    def forbidden(self) -> str:
        """Set: parts that were deleted since nobody had committed them, and must not be."""
        return self._key("forbidden")

    @property
    def merged(self) -> str:
        """Hash: parts that were merged lately, each with the one that it was merged into."""
        return self._key("merged")

    @property
    def merged_at(self) -> str:
        """Sorted set: these parts, by when they were merged."""
        return self._key("merged_at")

    @property
    def epoch(self) -> str:
        """String: a random word, another one when the lane forgot something that others found."""
        return self._key("epoch")
