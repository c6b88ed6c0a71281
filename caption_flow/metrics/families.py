"""Metrics: families of samples, as the library takes them, and the page that tells them."""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from caption_flow.web.site import Answer

PREFIX = "caption_flow_"


class _All(Collector):
    """Families that were gathered before, since the library asks at once and in one go."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        """Give them."""
        return self._families


def gauge(name: str, help_: str, value: float) -> Metric:
    """Make a family of one number that goes up and down."""
    return GaugeMetricFamily(f"{PREFIX}{name}", help_, value=value)


def counter(name: str, help_: str, value: float) -> Metric:
    """Make a family of one number that only goes up; `name` without `_total`."""
    return CounterMetricFamily(f"{PREFIX}{name}", help_, value=value)


def info(name: str, help_: str, told: Mapping[str, str]) -> Metric:
    """Make a family of what there is to know in words; `name` without `_info`."""
    return InfoMetricFamily(f"{PREFIX}{name}", help_, value=dict(told))


def gauges(
    name: str, help_: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]
) -> Metric:
    """Make a family of numbers that go up and down, by the values of their labels."""
    family = GaugeMetricFamily(f"{PREFIX}{name}", help_, labels=labels)
    for label, value in values.items():
        family.add_metric(label, value)
    return family


def one_of(name: str, help_: str, label: str, known: Iterable[str], now: str) -> Metric:
    """Make a family of ones and zeros, of which one is 1."""
    return gauges(name, help_, (label,), {(one,): float(one == now) for one in known})


def answer(families: Iterable[Metric], accept: str) -> Answer:
    """Write them in the format that is asked for."""
    write, kind = choose_encoder(accept)
    return Answer(write(_All(families)), kind)
