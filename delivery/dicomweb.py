"""Asks a DICOMweb server to store objects, and what it knows of a study (PS3.18 chapter 10).

Errors::

    WebTrouble            it did not work this time
    |-- Unreachable       no connection, or it has no time for anybody
    |-- Unwilling         it does not let us in, or is no DICOMweb server
    |-- NoAnswer          the connection was lost, or nothing came in time
    `-- TooLarge          it takes no object of this size

Each message begins with the server's address, and none holds a credential or what a reply says.
"""

from __future__ import annotations

import base64
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from xml.etree.ElementTree import ParseError

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, MaxRetryError, ReadTimeoutError

from delivery.associate import ANSWER_SECONDS
from delivery.patient import KEYS, Identity, NotAnswered
from delivery.tls import trouble

CONNECT_SECONDS = 10.0  # the same for each piece of a request to be taken
_REPLY_LIMIT = 1_000_000  # bytes; the reply to one object, or about one study, is much shorter
_PIECE = 65_536
_UNSPECIFIC = 0x0110  # PS3.18 table I.2-2: processing failure
# Duplicate SOP instance (PS3.7 Annex C), and how Azure says it. The UIDs of our objects stand
# for their bytes, so it is ours: the reply to an earlier attempt was lost.
_THERE_ALREADY = (0x0111, 0xB00E)
_JSON_TAGS = [f"{tag_for_keyword(each):08X}" for each in KEYS]
# What reading a reply may raise that is JSON, or says so, but not what PS3.18 Annex F makes of it.
_UNREADABLE = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, ParseError,
)  # fmt: skip
_UNREACHABLE: dict[int, str] = {
    HTTPStatus.TOO_MANY_REQUESTS: "it asks for fewer requests",
    HTTPStatus.SERVICE_UNAVAILABLE: "it is not available at the moment",
}
_UNWILLING: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "it does not accept our credentials (user, secret_file)",
    HTTPStatus.FORBIDDEN: "our credentials (user, secret_file) do not allow this",
    HTTPStatus.NOT_FOUND: "there is no such DICOMweb service (url)",
    HTTPStatus.METHOD_NOT_ALLOWED: "there is no such DICOMweb service (url)",
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "a proxy before it asks for credentials",
}
# Answers that say the same of anything that could be sent.
_OF_NO_OBJECT = (
    HTTPStatus.UNAUTHORIZED, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, *_UNREACHABLE,
    HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT,
)  # fmt: skip
_OTHERS: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "it does not understand the request",
    HTTPStatus.CONFLICT: "it did not store the object, and gives no Failure Reason",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "it does not take DICOM files (multipart/related)",
    HTTPStatus.BAD_GATEWAY: "a proxy gets no answer from the server behind it",
    HTTPStatus.GATEWAY_TIMEOUT: "a proxy gets no answer from the server behind it",
}


class WebTrouble(Exception):
    """It did not work this time."""


class Unreachable(WebTrouble):
    """No connection, or it has no time for anybody."""


class Unwilling(WebTrouble):
    """It does not let us in, or is no DICOMweb server."""


class NoAnswer(WebTrouble):
    """The connection was lost, or nothing came in time; the object may be stored nevertheless."""


class TooLarge(WebTrouble):
    """It takes no object of this size."""


class Credentials(AuthBase):
    """A password or a bearer token, read for each request: it may be renewed meanwhile.

    Parameters
    ----------
    file
        Holds it, on one line.
    user
        Whose password it is (RFC 7617); empty for a bearer token (RFC 6750).
    """

    def __init__(self, file: Path, user: str = "") -> None:
        self._file = file
        self._user = user

    def secret(self) -> str:
        """What the file holds.

        Raises
        ------
        Unwilling
            It cannot be read, or is not one line of text.
        """
        try:
            secret = self._file.read_text("utf-8").strip()
        except OSError as error:
            raise Unwilling(f"{self._file}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise Unwilling(f"{self._file}: is no text") from error
        if not secret or not secret.isprintable() or not (self._user or secret.isascii()):
            kind = "password" if self._user else "token"
            raise Unwilling(f"{self._file}: does not hold one line with a {kind}")
        return secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """What requests calls before it sends."""
        value = f"Bearer {self.secret()}"
        if self._user:
            pair = f"{self._user}:{self.secret()}".encode()
            value = f"Basic {base64.b64encode(pair).decode('ascii')}"
        request.headers["Authorization"] = value
        return request


@dataclass(frozen=True, kw_only=True)
class WebPeer:
    """A DICOMweb server.

    Attributes
    ----------
    url
        Under which its resource ``studies`` lies, without a slash at the end.
    tls
        How connections to it are secured, where the URL begins with https.
    credentials
        What we show it; None for nothing.
    """

    url: str
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    credentials: Credentials | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """The URL."""
        return self.url


class Web:
    """A connection to a DICOMweb server, opened when it is needed; for one thread.

    Parameters
    ----------
    peer
        The server.
    """

    def __init__(self, peer: WebPeer) -> None:
        self._peer = peer
        self._session = requests.Session()
        self._session.trust_env = False  # no proxies, credentials or CAs but those of the settings
        self._session.max_redirects = 0  # who is redirected from POST goes on with GET
        self._session.auth = peer.credentials
        self._session.headers["Accept"] = "application/dicom+json"
        self._session.headers["Accept-Encoding"] = "identity"  # short replies, and none that swells
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(peer.tls))
        self._timeout = (CONNECT_SECONDS, ANSWER_SECONDS)
        self._client = DICOMwebClient(
            peer.url,
            self._session,
            chunk_size=sys.maxsize,  # with Content-Length: not every server takes it without
            timeout=self._timeout,
        )
        self._client.set_http_retry_params(retry=False)

    def reach(self) -> None:
        """Open the connection: ask what it can do (OPTIONS, PS3.18 section 8.9), to see it answer.

        What has failed so far, and would fail whatever is sent, is told before anything is.

        Raises
        ------
        WebTrouble
            It cannot be reached, does not answer, or does not accept our credentials. That it
            knows no OPTIONS, or nothing at this address, is no trouble yet.
        """
        with self._talking():
            answer = self._session.options(
                f"{self._peer}/studies", allow_redirects=False, timeout=self._timeout
            )
            if answer.status_code in _OF_NO_OBJECT:
                answer.raise_for_status()

    def store(self, dataset: Dataset) -> int:
        """Send an object by STOW-RS (PS3.18 section 10.5).

        Returns
        -------
        int
            Its Failure Reason (PS3.18 table I.2-2); 0 if it is stored, be it with a warning.

        Raises
        ------
        WebTrouble
            It was not said that the object is stored, nor why not.
        """
        uid = str(dataset.SOPInstanceUID)
        with self._talking():
            try:
                failure = _failure(self._client.store_instances([dataset]), uid)
            except requests.HTTPError as error:
                failure = _told_with(error.response)
                if failure is None:
                    raise
        if failure is None:
            raise WebTrouble(
                f"{self._peer}: its reply does not say that the object is stored; "
                "is this the address of its DICOMweb service (url)?"
            )
        return failure

    def look_up(self, study_uid: str) -> list[Identity]:
        """Ask by QIDO-RS what it knows of a study (PS3.18 section 10.6).

        Raises
        ------
        NotAnswered
            It does not say.
        Unreachable
            No connection.
        """
        try:
            with self._talking():
                found = self._client.search_for_studies(
                    search_filters={"StudyInstanceUID": study_uid}, fields=KEYS
                )
                return [_identity(each) for each in found]
        except Unreachable:
            raise
        except WebTrouble as error:
            raise NotAnswered(str(error), lost=isinstance(error, NoAnswer)) from error

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._session.close()

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Say what went wrong in our words: those of the library hold URLs and headers."""
        try:
            yield
        except requests.TooManyRedirects as error:
            raise Unwilling(f"{self._peer}: it redirects to another address (url)") from error
        except requests.HTTPError as error:
            raise self._refusal(error.response) from error
        except requests.JSONDecodeError as error:
            raise self._unreadable(error) from error
        except requests.RequestException as error:
            raise self._lost(error) from error
        except _UNREADABLE as error:
            raise self._unreadable(error) from error

    def _refusal(self, response: requests.Response) -> WebTrouble:
        status = response.status_code
        said = f"{self._peer}: status {status}"
        if status in _UNREACHABLE:
            wait = response.headers.get("Retry-After", "")
            seconds = f", for {wait} seconds" if wait.isascii() and wait.isdigit() else ""
            return Unreachable(f"{said}: {_UNREACHABLE[status]}{seconds}")
        if status in _UNWILLING:
            return Unwilling(f"{said}: {_UNWILLING[status]}")
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return TooLarge(f"{said}: it, or a proxy before it, takes no object of this size")
        return WebTrouble(f"{said}: {_OTHERS[status]}" if status in _OTHERS else said)

    def _lost(self, error: requests.RequestException) -> WebTrouble:
        tls = _tls_trouble(error)
        if tls:
            return Unreachable(f"{self._peer}: {tls}")
        connecting = bool(error.args) and isinstance(error.args[0], MaxRetryError)
        if connecting or isinstance(error, requests.ConnectTimeout):
            return Unreachable(f"{self._peer}: no connection")
        if isinstance(error, requests.Timeout):
            return NoAnswer(f"{self._peer}: no answer in time")
        return NoAnswer(f"{self._peer}: the connection was lost before it answered")

    def _unreadable(self, error: Exception) -> WebTrouble:
        kind = type(error).__name__
        return WebTrouble(f"{self._peer}: its reply is no DICOM JSON (PS3.18 Annex F): {kind}")


class _Adapter(HTTPAdapter):
    """HTTP as we want it, where the library above leaves it open.

    Parameters
    ----------
    tls
        How connections are secured.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *given: Any, **pool: Any) -> None:
        super().init_poolmanager(*given, ssl_context=self._tls, **pool)

    def cert_verify(self, *_: object) -> None:
        """The context says whom to trust; requests would add a list of its own."""

    def add_headers(self, request: requests.PreparedRequest, **_: object) -> None:
        # The library's has no port in it. Without one urllib3 writes it.
        request.headers.pop("Host", None)
        if isinstance(request.body, bytes):
            # In one piece it would have to be gone before the timeout, however large.
            request.body = cast(Any, BytesIO(request.body))

    def build_response(
        self, req: requests.PreparedRequest, resp: BaseHTTPResponse
    ) -> requests.Response:
        """Read all of a reply that is not endless."""
        response = super().build_response(req, resp)
        try:
            response.raw = BytesIO(_read(resp))
        except HTTPError as error:
            resp.close()
            if isinstance(error, ReadTimeoutError):
                raise requests.ReadTimeout(error, request=req) from error
            raise requests.ConnectionError(error, request=req) from error
        # The library knows the media type only without parameters, such as the charset.
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        response.headers["Content-Type"] = media_type.strip().lower()
        return response


def _read(reply: BaseHTTPResponse) -> bytes:
    content, deadline = bytearray(), time.monotonic() + ANSWER_SECONDS
    while piece := reply.read1(_PIECE, decode_content=True):
        content += piece
        if len(content) > _REPLY_LIMIT or time.monotonic() > deadline:
            raise HTTPError("an endless reply")
    return bytes(content)


def _failure(reply: Dataset, sop_instance_uid: str) -> int | None:
    """Failure Reason of the one object that was sent; 0 if it is stored, None if nothing is said.

    PS3.18 table I.2-1.
    """
    for keyword in ("FailedSOPSequence", "OtherFailuresSequence"):
        for item in reply.get(keyword) or ():
            reason = int(item.FailureReason)
            if reason in _THERE_ALREADY:
                return 0
            return reason if 0 < reason <= 0xFFFF else _UNSPECIFIC
    stored = reply.get("ReferencedSOPSequence") or ()
    return 0 if any(each.ReferencedSOPInstanceUID == sop_instance_uid for each in stored) else None


def _told_with(response: requests.Response) -> int | None:
    """Failure Reason in a reply of status 409: nothing was stored; None if there is none."""
    if response.status_code != HTTPStatus.CONFLICT:
        return None
    try:
        return _failure(Dataset.from_json(response.json()), "")
    except _UNREADABLE:
        return None


def _identity(found: dict[str, Any]) -> Identity:
    return Identity.of(Dataset.from_json({tag: found[tag] for tag in _JSON_TAGS if tag in found}))


def _tls_trouble(error: object) -> str:
    """What the TLS error says that others are wrapped around; empty if there is none."""
    while isinstance(error, BaseException):
        if isinstance(error, ssl.SSLError):
            return trouble(error)
        error = getattr(error, "reason", None) or next(iter(error.args), None)
    return ""
