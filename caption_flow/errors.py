"""What can go wrong, in words for the person who has to mend it.

Every error a user may meet derives from CaptionFlowError and carries a whole sentence: what is
wrong, where, and what to do. The command line prints that sentence and exits with `exit_code`.
"""


class CaptionFlowError(Exception):
    """Something failed that a user can understand and act on."""

    exit_code = 1


class ConfigError(CaptionFlowError):
    """A configuration document, flag or variable is wrong; one line per mistake."""

    exit_code = 2


class BadTemplate(ConfigError):
    """A prompt has braces that cannot be read; the sentence begins after the prompt's name."""


class SourceError(CaptionFlowError):
    """A data set cannot be read."""


class QueueUnreachable(CaptionFlowError):
    """Redis does not answer (yet); the caller may wait and try again."""


class ServerUnreachable(QueueUnreachable):
    """The proxy does not answer (yet); the caller may wait and try again."""


class ServerUnfit(CaptionFlowError):
    """The proxy does not let us in, or is not to be trusted; waiting does not help."""

    exit_code = 2


class Misunderstanding(CaptionFlowError):
    """The proxy and this client do not speak the same protocol; waiting does not help."""


class QueueFull(CaptionFlowError):
    """Redis has no memory left for what was to be written; the caller waits."""


class QueueForgot(CaptionFlowError):
    """Redis may have forgotten something since it was asked last; ask it again."""


class QueueUnfit(CaptionFlowError):
    """This Redis must not be used: too old, evicting, or holding another job of that name."""

    exit_code = 2


class StorageBlocked(CaptionFlowError):
    """The folder of the parts cannot be used (yet); the caller may wait and try again."""


class StorageUnfit(CaptionFlowError):
    """The folder of the parts cannot be used as things are; waiting does not help."""

    exit_code = 2


class UploadFailed(CaptionFlowError):
    """The hub has not taken a data set (yet); who starts again goes on from there."""


class EngineFailed(CaptionFlowError):
    """The engine could not caption this one request; others are unharmed."""


class EngineRefused(CaptionFlowError):
    """The engine will not caption this one request, now or later; others are unharmed."""


class Rejected(CaptionFlowError):
    """A caption failed a check to the last, and must not be kept; its sample is given up."""

    def __init__(self, check: str, detail: str) -> None:
        super().__init__(f"rejected_{check}: {detail}")
        self.reason = f"rejected_{check}"  # stable for filters
        self.detail = detail


class Unparsed(CaptionFlowError):
    """An answer has not the form that its stage asks for; another attempt may give one."""


class EngineDead(CaptionFlowError):
    """The engine has died, with all requests that were inside."""


class EngineGone(CaptionFlowError):
    """The engine has died and cannot be brought back."""


class EngineUseless(EngineGone):
    """The engine fails with whatever it is given, and would again."""

    exit_code = 2


class EngineUnfit(CaptionFlowError):
    """The engine cannot start with this model, these arguments, on this machine."""

    exit_code = 2


class CutOff(CaptionFlowError):
    """This host reaches none of the hosts on which the images lie."""


class BadImage(CaptionFlowError):
    """An image that cannot be captioned. It harms nobody but its own sample."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason  # one of the words in docs/dead-letters.md, stable for filters
        self.detail = detail


class CertificateUnfit(CaptionFlowError):
    """A certificate or its key cannot be used for TLS as it is."""

    exit_code = 2
