"""Export: the header of a card, YAML of people, in which what we do not change stays as spelled.

YAML takes `no` for false, `1.10` for a number and `2024-01-01` for a day, which would come out as
something else. So of plain words only those for nothing are read; all others are kept as texts
that know how they were spelled.
"""

from typing import Any

import yaml

from caption_flow.errors import ConfigError

_TEXT = "tag:yaml.org,2002:str"
_KINDS = ("bool", "int", "float", "timestamp")  # that are spelled without quotes


class _Plain(str):
    """A word that is not to be quoted."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """Reads words as they are spelled."""


class _Dumper(yaml.SafeDumper):
    """Writes them so."""


def loaded(header: str) -> dict[str, Any]:
    """Read a header; raise ConfigError where it is none."""
    try:
        keys = yaml.load(header, _Loader)  # noqa: S506 - it is a safe one
    except (yaml.YAMLError, ValueError) as exc:
        raise ConfigError(
            f"The header of the README.md that is on the hub is no YAML: {exc}. Mend it there, "
            "or delete that file; nothing was uploaded."
        ) from exc
    if keys is not None and not isinstance(keys, dict):
        raise ConfigError(
            "The header of the README.md that is on the hub holds something else than keys. Mend "
            "it there, or delete that file; nothing was uploaded."
        )
    return keys or {}


def dump(keys: dict[str, Any]) -> str:
    """Write a header, the same for the same keys."""
    return yaml.dump(keys, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def _plain(loader: _Loader, node: yaml.ScalarNode) -> str:
    return _Plain(loader.construct_scalar(node))


def _unquoted(dumper: _Dumper, word: _Plain) -> yaml.ScalarNode:
    resolve: Any = dumper.resolve
    tag = resolve(yaml.ScalarNode, str(word), (True, False))
    return yaml.ScalarNode(tag, str(word))


for _kind in _KINDS:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _plain)
_Dumper.add_representer(_Plain, _unquoted)
