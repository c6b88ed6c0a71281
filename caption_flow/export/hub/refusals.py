"""Export: what the hub will not do, in words for the person who has to mend it."""

import re
from collections.abc import Sequence

from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from msgspec import Struct

from caption_flow.errors import CaptionFlowError, ConfigError, UploadFailed

# Somebody else may have committed in between (409, 412), or the hub is unwell.
_PASSING = frozenset({408, 409, 412, 425, 429, 500, 502, 503, 504})
_OURS = (CaptionFlowError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
# Of a URL what may be signed, and tokens.
_SECRETS = re.compile(r"\?\S*|Bearer \S+|hf_\w+")
_WRITES = "a token with write permission (Settings, Access Tokens)"


class Page(Struct, frozen=True):
    """What is talked about."""

    endpoint: str
    repo: str

    @property
    def url(self) -> str:
        """Where people look at the data set."""
        return f"{self.endpoint}/datasets/{self.repo}"


def passes(exc: Exception) -> bool:
    """Whether trying again soon may help."""
    bare = _bare(exc)
    if isinstance(bare, HfHubHTTPError):
        return _status(bare) in _PASSING
    return not isinstance(bare, (OfflineModeIsEnabled, *_OURS)) and not _is_of_a_file(bare)


def told(exc: Exception, page: Page) -> Exception:
    """Put in words what ended an upload; what is our own mistake stays as it is."""
    bare = _bare(exc)
    if isinstance(bare, HfHubHTTPError):
        return _answered(bare, page)
    if isinstance(bare, HFValidationError):
        return misnamed(page.repo)
    if isinstance(bare, (OfflineModeIsEnabled, *_OURS)) or _is_of_a_file(bare):
        return _of_this_host(bare, page)
    return UploadFailed(
        f"The hub at {page.endpoint} cannot be reached, or breaks off ({_line(bare)}). Check "
        "HF_ENDPOINT and the network, and start again: what has arrived is not sent once more. "
        "HF_HUB_DISABLE_XET=1 keeps to plain HTTP."
    )


def _of_this_host(exc: Exception, page: Page) -> Exception:
    if isinstance(exc, OfflineModeIsEnabled):
        return offline(page)
    if isinstance(exc, ValueError):  # as the library says it of a card, for one
        return UploadFailed(f"{page.url} was not uploaded: {_line(exc)}.")
    if _is_of_a_file(exc):
        return UploadFailed(f"A file to be uploaded cannot be read: {_line(exc)}. Export again.")
    return exc


def offline(page: Page) -> ConfigError:
    """Say what keeps us off the hub."""
    return ConfigError(
        f"{page.url} is on the hub, and HF_HUB_OFFLINE keeps this process off it. Unset that, or "
        "export to a folder of this host."
    )


def misnamed(repo: str) -> ConfigError:
    """Say what a data set on the hub may be called."""
    return ConfigError(
        f'"{repo}" cannot be the name of a data set on the hub. Write USER/NAME, in letters, '
        "digits, -, _ and single dots."
    )


def no_token(page: Page) -> ConfigError:
    """Say that nobody writes there without a token."""
    return ConfigError(f"{page.url} takes uploads only with a token: set HF_TOKEN to {_WRITES}.")


def reads_only(page: Page) -> ConfigError:
    """Say that a token is of the wrong kind."""
    return ConfigError(f"The token may only read {page.endpoint}: set HF_TOKEN to {_WRITES}.")


def is_public(page: Page) -> ConfigError:
    """Say that what is to be private would not be."""
    return ConfigError(
        f"{page.url} is public, and --private was asked for; nothing was uploaded. Make it private "
        f"on {page.url}/settings, leave --private out, or take another name."
    )


def of_others(page: Page, files: Sequence[str]) -> ConfigError:
    """Say that files would be lost that an export did not make."""
    return ConfigError(
        f"{page.url} has {len(files):,} files already that an export would replace, as {files[0]}, "
        "and its card does not say that they come from one; nothing was uploaded. --overwrite "
        "replaces them, or take another name."
    )


def odd_token(page: Page) -> ConfigError:
    """Say that a token is none, before it gets into a request or into what is said of one."""
    return ConfigError(
        f"The token for {page.endpoint} has characters that no token has, as from a broken copy: "
        f"set HF_TOKEN to {_WRITES}."
    )


def no_rows(page: str) -> ConfigError:
    """Say that a data set is not to be emptied."""
    return ConfigError(
        f"No sample is to be exported, so {page} would be emptied; nothing was uploaded. Check "
        "--where, --shards and whether the job has captions."
    )


def _answered(exc: HfHubHTTPError, page: Page) -> Exception:
    status, said = _status(exc), _said(exc)
    if status == 401:  # noqa: PLR2004
        return ConfigError(f"{page.endpoint} does not know the token: set HF_TOKEN to {_WRITES}.")
    if status == 403:  # noqa: PLR2004
        return ConfigError(
            f"The token may not write to {page.url}{said}. Set HF_TOKEN to {_WRITES} of somebody "
            "who may, or take a name of your own."
        )
    if status == 404:  # noqa: PLR2004
        return ConfigError(
            f"{page.url} cannot be made or found{said}. Check its name, and whether "
            f"{page.endpoint} is a hub that takes data sets."
        )
    if status in _PASSING:
        return UploadFailed(
            f"The hub at {page.endpoint} is unwell, or somebody else changes {page.repo} all the "
            f"time (status {status}{said}). Start again later: what has arrived is not sent once "
            "more."
        )
    return UploadFailed(f"{page.url} was not uploaded: the hub answers {status}{said}.")


def _said(exc: HfHubHTTPError) -> str:
    message = getattr(exc, "server_message", None)
    return f", it says: {_clean(str(message))}" if message else ""


def _status(exc: HfHubHTTPError) -> int:
    return int(exc.response.status_code)


def _bare(exc: Exception) -> Exception:
    """Find what the library has wrapped, in a thread of its own."""
    while type(exc) is RuntimeError and isinstance(exc.__cause__, Exception):
        exc = exc.__cause__
    return exc


def _is_of_a_file(exc: Exception) -> bool:
    return isinstance(exc, OSError) and exc.filename is not None


def _line(exc: Exception) -> str:
    return _clean(str(exc)) or type(exc).__name__


def _clean(text: str) -> str:
    lines = (line for line in text.strip().splitlines() if line.strip())
    return _SECRETS.sub("", next(lines, "")).rstrip(".")
