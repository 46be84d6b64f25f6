"""What every request passes: who may ask, how much may be sent, what the browser may do with the answer."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visus.errors import VisusError

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""For reports, which any program may have written: shown, but nothing in them runs or asks for anything."""

_HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer, browsers would send forms with `Origin: null`
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class TooLarge(VisusError):
    """More bytes were sent than are taken."""


class Guard:
    """Refuses foreign hosts and foreign forms, and adds the security headers to every answer.

    Parameters
    ----------
    app : the app within.
    hosts : names by which this server may be called; empty = any. Refusing others keeps a web page from
        reading answers after pointing its own name at this machine.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str] = ()) -> None:
        self.app, self.hosts = app, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(Headers(scope=scope), scope["method"])
        if refused is None:
            await self.app(scope, receive, with_headers)
        else:
            await refused(scope, receive, with_headers)

    def _refused(self, headers: Headers, method: str) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if self.hosts and _name(host) not in self.hosts:
            return PlainTextResponse("This server is not called by this name.\n", status_code=421)
        origin = headers.get("origin")
        if method not in ("GET", "HEAD") and origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse("Forms of other sites are not taken.\n", status_code=403)
        return None


def own_names(host: str) -> frozenset[str]:
    """The names of a server that listens at `host`; empty (any) unless only this machine can reach it."""
    local = host == "localhost"
    if not local:
        try:
            local = ipaddress.ip_address(host).is_loopback
        except ValueError:
            return frozenset()
    return frozenset({"localhost", "127.0.0.1", "::1", host}) if local else frozenset()


class Body:
    """A request's `receive` that ends with `TooLarge` when the body exceeds `most` bytes."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._most = receive, most
        self._total, self._ended = 0, False

    async def __call__(self) -> Message:
        message = await self._next()
        if self._total > self._most:
            raise TooLarge(f"more than {self._most / 2**20:,.0f} MB were sent")
        return message

    async def drop(self) -> None:
        """Read and drop the rest, up to as much again: a browser shows no answer before its form is sent."""
        most = self._total + self._most
        while not self._ended and self._total <= most:
            await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._total += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        return message


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
