"""What a monitoring system sees at a process."""

import http.client
from collections.abc import Mapping

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families


class Seen(Struct, frozen=True):
    """An answer over HTTP."""

    status: int
    headers: dict[str, str]
    body: str


def get(port: int, path: str, headers: Mapping[str, str] | None = None) -> Seen:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=dict(headers or {}))
    answer = connection.getresponse()
    return Seen(answer.status, dict(answer.getheaders()), answer.read().decode())


class Scrape:
    """The figures of one scrape, read as Prometheus reads them."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [s for family in self.families.values() for s in family.samples]

    def __getitem__(self, name: str) -> float:
        """The value of what has one; of all its labels together, where it has more."""
        found = [sample.value for sample in self.samples if sample.name == name]
        assert found, f"no {name}"
        return sum(found)

    def of(self, name: str, **labels: str) -> float:
        [value] = [
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return value

    def ones(self, name: str, label: str) -> list[str]:
        """The labels of what is 1."""
        return [s.labels[label] for s in self.samples if s.name == name and s.value == 1]

    @property
    def names(self) -> set[str]:
        """All that a query can name."""
        return {sample.name for sample in self.samples}
