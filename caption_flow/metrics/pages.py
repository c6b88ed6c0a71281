"""Metrics: the pages of a process: /metrics, and for who starts and stops processes, its health.

Health is public: it tells that a process lives and whether it works, in words of ours alone.
"""

import logging
from collections.abc import Mapping

from caption_flow.errors import CaptionFlowError
from caption_flow.metrics import job, process
from caption_flow.metrics.families import answer, gauge
from caption_flow.metrics.vitals import Vitals
from caption_flow.web.site import Answer, Asked, Page

logger = logging.getLogger(__name__)


def health(vitals: Vitals) -> Mapping[str, Page]:
    """Give the pages that anybody may ask for."""

    async def lives(_: Asked) -> Answer:
        return Answer(b"Alive.\n")

    async def works(_: Asked) -> Answer:
        if why := vitals.trouble:
            return Answer(f"Not ready: {why}.\n".encode(), status=503)
        return Answer(f"Ready: {vitals.state}.\n".encode())

    return {"/healthz": lives, "/readyz": works}


def metrics(vitals: Vitals, *, contributors: bool = False) -> Mapping[str, Page]:
    """Give the page with all figures; `contributors`: also of them, by name."""

    async def tell(question: Asked) -> Answer:
        told = list(process.families(vitals))
        try:
            snapshot = await vitals.snapshot()
        except (CaptionFlowError, TimeoutError) as exc:
            logger.debug("No metrics of the job: %r", exc)
            snapshot = None
        if vitals.looks:
            told.append(gauge("job_seen", "1 while it sees the whole job.", snapshot is not None))
        if snapshot is not None:
            told += job.families(snapshot, contributors=contributors)
        return answer(told, question.headers.get("accept", ""))

    return {"/metrics": tell}
