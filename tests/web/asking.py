"""Requests as a browser makes them, or as one that means harm does."""

import asyncio
import http.client
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct


class Answered(Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def get(port: int, target: str, *, method: str = "GET", **headers: str) -> Answered:
    """Ask for a page; underscores in the names of headers are hyphens."""

    def ask() -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, headers=named)
        answer = connection.getresponse()
        return Answered(answer.status, dict(answer.getheaders()), answer.read())

    return await asyncio.to_thread(ask)


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
