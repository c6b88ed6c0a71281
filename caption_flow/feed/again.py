"""Feed, once more: the samples of dead letters become chunks again, each of one shard.

Their images are not in Redis any more; a feeder reads them from the source, as at first.
"""

import logging
import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

from caption_flow.dataset.source import sample_name
from caption_flow.logs import about
from caption_flow.model import Chunk, DeadLetter, SamplingKeys
from caption_flow.queue.ports import DeadLetters, Letters

logger = logging.getLogger(__name__)


class Retried(Struct, frozen=True):
    """What a retry came to."""

    samples: int = 0
    chunks: int = 0


async def retry(queue: DeadLetters, letters: Letters, sampling: SamplingKeys) -> Retried:
    """Let samples be fed again, with this sampling instead of any they had."""
    counts = []
    async for batch in letters:
        counts += [await _retry(queue, shard, sampling) for shard in _by_shard(batch)]
    return Retried(samples=sum(counts), chunks=sum(count > 0 for count in counts))


async def _retry(queue: DeadLetters, letters: Sequence[DeadLetter], sampling: SamplingKeys) -> int:
    """Retry letters of one shard; answers how many were still there."""
    while letters:
        gone = await queue.retry(_chunk(letters, sampling), letters)
        if not gone:
            break
        letters = [letter for letter in letters if letter.entry not in gone]
    return len(letters)


def _by_shard(letters: Iterable[DeadLetter]) -> Iterable[list[DeadLetter]]:
    shards: dict[tuple[str, str], list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        sample = letter.sample
        if sample_name(sample.shard, sample.id) is None:
            logger.warning(
                "Left %s: it is no name of the shard %s",
                *(sample.id, sample.shard),
                extra=about(sample),
            )
        else:
            shards[sample.dataset, sample.shard].append(letter)
    return shards.values()


def _chunk(letters: Sequence[DeadLetter], sampling: SamplingKeys) -> Chunk:
    first = letters[0].sample
    names = (sample_name(letter.sample.shard, letter.sample.id) for letter in letters)
    return Chunk(
        id=f"{first.shard}:retry-{secrets.token_hex(6)}",
        dataset=first.dataset,
        shard=first.shard,
        names=tuple(name for name in names if name is not None),
        sampling=sampling,
    )
