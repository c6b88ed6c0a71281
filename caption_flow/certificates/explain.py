"""Certificates, refused: why no connection to a server comes about, and what to do about it.

For whoever has failed to connect: the error that came is looked at, and the server where it does
not tell enough.
"""

import asyncio
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from socket import gaierror

from msgspec import Struct

from caption_flow.certificates.look import Certificate, look, spelled
from caption_flow.certificates.probe import (
    Place,
    certificate_at,
    place_of,
    plain_at,
    spelled_place,
)

_LINE = (OSError, EOFError)  # those of TLS and of sockets; what was said over it is another matter
_NO_ANSWER = (ConnectionRefusedError, gaierror)  # as long as a server is down
_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
_MOST_CAUSES = 10
_MOST_NAMES = 5

# What OpenSSL calls the ways in which a certificate is refused: X509_V_ERR_…
_NOT_YET_VALID = 9
_EXPIRED = 10
_UNKNOWN = frozenset({18, 19, 20, 21})  # self-signed, or signed by who knows whom
_OTHER_NAME = frozenset({62, 64})  # of a host, of an address

_DEVELOPMENT = "for development only, pass --no-verify-ssl"


async def explain(exc: BaseException, url: str, *, ca_cert: Path | None = None) -> str | None:
    """Say why TLS kept a connection to `url` from coming about; None: it was something else.

    Asks the server once more, which takes seconds at most, unless nothing answered at all, or
    something did in HTTP.
    """
    found = place_of(url)
    if found is None or not _of_the_line(exc):
        return None
    secure, place = found
    if secure:
        return await asyncio.to_thread(_over_tls, exc, place, ca_cert)
    return await asyncio.to_thread(_without_tls, place)


def _of_the_line(exc: BaseException) -> bool:
    causes = list(_causes(exc))
    return any(isinstance(cause, _LINE) for cause in causes) and not any(
        isinstance(cause, _NO_ANSWER) for cause in causes
    )


def _over_tls(exc: BaseException, place: Place, ca_cert: Path | None) -> str | None:
    der = certificate_at(place)
    for cause in _causes(exc):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _Refused(place, cause, look(der) if der else None, ca_cert).sentence()
    if der is not None:  # TLS is not what is wrong
        return None
    if plain_at(place):
        return (
            f"{spelled_place(place)} speaks no TLS. Connect with ws:// if its operator means it "
            "to be so; what is sent, the token too, can then be read on the way."
        )
    for cause in _causes(exc):
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, _HUNG_UP):
            return (
                f"TLS with {spelled_place(place)} fails ({cause.reason or cause}). "
                "Both ends must speak TLS 1.2 or newer."
            )
    return None


def _without_tls(place: Place) -> str | None:
    if certificate_at(place) is None:
        return None
    return f"{spelled_place(place)} speaks TLS. Connect with wss:// instead of ws://."


class _Refused(Struct, frozen=True):
    """A certificate that was not believed."""

    place: Place
    error: ssl.SSLCertVerificationError
    certificate: Certificate | None  # None: it could not be fetched once more
    ca_cert: Path | None

    def sentence(self) -> str:
        code = self.error.verify_code
        if code in _OTHER_NAME:
            return self._other_name()
        if code in {_EXPIRED, _NOT_YET_VALID}:
            return self._lapsed(expired=code == _EXPIRED)
        if code in _UNKNOWN:
            return self._unknown()
        return (
            f"The certificate of {spelled_place(self.place)} is refused: "
            f"{self.error.verify_message}. Ask the operator of the proxy, or, {_DEVELOPMENT}."
        )

    def _other_name(self) -> str:
        host, _ = self.place
        names = self.certificate.names if self.certificate else ()
        shown = ", ".join(names[:_MOST_NAMES]) or "no host at all"
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        return (
            f"{spelled_place(self.place)} shows a certificate for {shown}{more}, not for {host}. "
            f"Connect by a name that it is for, or have its operator make one for {host} "
            f"(caption-flow generate_cert --domain {host}); {_DEVELOPMENT}."
        )

    def _lapsed(self, *, expired: bool) -> str:
        told = (self.certificate and self.certificate.lapse()) or (
            "has expired" if expired else "is not valid yet"
        )
        now = spelled(datetime.now(UTC))
        return (
            f"The certificate of {spelled_place(self.place)}, or one that it was signed with, "
            f"{told}. The clock of this host says {now}: if that is right, the operator of the "
            f"proxy must renew the certificate."
        )

    def _unknown(self) -> str:
        begun = f"{spelled_place(self.place)} shows {self._kind()}, "
        if self.ca_cert:
            return (
                f"{begun}which is neither in {self.ca_cert} nor signed by one of those. Ask its "
                "operator for the present one; if it was not renewed, somebody else answers there."
            )
        return (
            f"{begun}which no authority known here has signed. Ask its operator for the file of "
            f"the certificate and pass --ca-cert FILE; {_DEVELOPMENT}."
        )

    def _kind(self) -> str:
        if self.certificate is None:
            return "a certificate"
        if self.certificate.self_signed:
            return "a self-signed certificate"
        return f'a certificate issued by "{self.certificate.issuer}"'


def _causes(exc: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = exc
    for _ in range(_MOST_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__
