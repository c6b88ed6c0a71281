"""Fetch: whether it is single hosts that do not answer, or our own network that is gone."""

_FAILURES = 32
_HOSTS = 8


class Reach:
    """Counts hosts that could not be reached since one last was."""

    def __init__(self) -> None:
        self._failures = 0
        self._hosts: set[str] = set()

    @property
    def cut_off(self) -> bool:
        """So many failures of so many hosts, and no answer between, that it must be ours."""
        return self._failures >= _FAILURES and len(self._hosts) >= _HOSTS

    def failed(self, host: str) -> None:
        """Note a host that was tried and did not answer."""
        self._failures += 1
        if len(self._hosts) < _HOSTS:
            self._hosts.add(host)

    def answered(self) -> None:
        """Note that some host answered, whatever it said."""
        self._failures = 0
        self._hosts.clear()
