"""What a reverse proxy in front says of a request, if it is one that is believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

PROXIED = "wetread.proxied"
"""In the scope of a request: whether a proxy that is believed sent it."""


class Proxies:
    """Middleware: takes the browser's address and scheme from the headers of known proxies.

    Parameters
    ----------
    app
        What comes next.
    networks
        Where the proxies are; nobody else's headers are read.
    """

    def __init__(self, app: ASGIApp, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._app = app
        self._networks = tuple(networks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            scope[PROXIED] = self._knows(scope["client"][0]) if scope.get("client") else False
            if scope[PROXIED]:
                self._believe(scope)
        await self._app(scope, receive, send)

    def _believe(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if headers.get("x-forwarded-proto", "").strip().lower() == "https":
            scope["scheme"] = "https"
        # The last one that no known proxy has added itself; those before it may be invented.
        for address in reversed(headers.get("x-forwarded-for", "").split(",")):
            if address.strip() and not self._knows(address.strip()):
                scope["client"] = (address.strip()[:64], 0)
                return

    def _knows(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)
