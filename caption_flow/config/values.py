"""What single values may be, and what every section of a document is."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Annotated, Any, ClassVar, TypeAlias

from msgspec import Meta, Struct

from caption_flow.errors import ConfigError

_NAME = {"expected": "letters, digits, dots, underscores and hyphens, at most 100"}
_SHARE = {"share": True, "expected": 'a share above 0, at most 1, such as 0.01 or "1%"'}
_SIZE = {"size": True, "expected": "a size above 0, such as 8MiB, or a number of bytes"}
_REDIS = {"secret": True, "expected": "a URL that begins with redis://, rediss:// or unix://"}
_SERVER = {"secret": True, "expected": "a URL that begins with ws:// or wss://"}
_DIGEST = {"expected": "64 hexadecimal digits in lower case"}
_SHA256 = {"secret": True, "expected": "64 hexadecimal digits in lower case"}
_LOW_HIGH = {"expected": "two numbers, [lowest, highest], each 0 or more"}

Name: TypeAlias = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,100}\Z", extra=_NAME)]
Text: TypeAlias = Annotated[str, Meta(min_length=1)]
LocalPath: TypeAlias = Annotated[str, Meta(min_length=1, extra={"path": True})]
Secret: TypeAlias = Annotated[str, Meta(min_length=1, extra={"secret": True})]
SecretPath: TypeAlias = Annotated[str, Meta(min_length=1, extra={"path": True, "secret": True})]
Sha256: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", extra=_SHA256)]
Digest: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", extra=_DIGEST)]
RedisUrl: TypeAlias = Annotated[str, Meta(pattern=r"\A(redis|rediss|unix)://.", extra=_REDIS)]
ServerUrl: TypeAlias = Annotated[str, Meta(pattern=r"\Awss?://.", extra=_SERVER)]
ByteSize: TypeAlias = Annotated[int, Meta(ge=1, extra=_SIZE)]
Share: TypeAlias = Annotated[float, Meta(gt=0, le=1, extra=_SHARE)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
Port: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0)]
Pause: TypeAlias = Annotated[float, Meta(ge=0)]
Prompts: TypeAlias = Annotated[tuple[str, ...], Meta(min_length=1)]
Latency: TypeAlias = Annotated[tuple[Pause, Pause], Meta(extra=_LOW_HIGH)]
TokenRange: TypeAlias = Annotated[
    tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)]], Meta(extra=_LOW_HIGH)
]
Temperature: TypeAlias = Annotated[float, Meta(ge=0)]
TopP: TypeAlias = Annotated[float, Meta(gt=0, le=1)]
Penalty: TypeAlias = Annotated[float, Meta(gt=0)]
EngineArgs: TypeAlias = dict[str, Any]  # JSON values; names and values are vLLM's to judge

_SECRETS = frozenset({"token", "token_sha256", "redis", "server", "key"})


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section of a document. Its repr shows no secrets, as it may end in a log."""

    REST: ClassVar[str] = ""  # the field that takes keys without a field of their own
    # Words that people try -> the field they mean; told, not taken.
    MEANT: ClassVar[Mapping[str, str]] = {}

    def __repr__(self) -> str:
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        shown = (f"{n}={'…' if n in _SECRETS and v else repr(v)}" for n, v in values)
        return f"{type(self).__name__}({', '.join(shown)})"


def refuse(lines: Iterable[str]) -> None:
    """Raise a ConfigError with these mistakes, if there are any."""
    if text := "\n".join(lines):
        raise ConfigError(text)


def no_networks(networks: Iterable[str], field: str = "allow_networks") -> Iterable[str]:
    """Say which of the networks in a field are none."""
    for text in networks:
        try:
            ip_network(text.strip())
        except ValueError as exc:
            yield (
                f'{field} holds "{text}", which is no network ({exc}); '
                'write one like "10.1.0.0/16", or a single address'
            )
