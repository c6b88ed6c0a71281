"""A hub that takes data sets: what it is sent becomes commits that can be read as any others.

It has one token that may write. What arrives is noted, an upload can be cut off in its middle.
"""

import base64
import contextlib
import hashlib
import json
import socket
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from caption_flow.export.hub import push
from caption_flow.retry import Backoff
from tests.feeders.hub_server import (
    Handler,
    HubServer,
    Repo,
    Seen,
    Tree,
    entry,
    lfs_oid,
    oid,
    use_hub,
)

TOKEN = "hf_writes"
READER = "hf_reads"
_PIECE = 1 << 16


class WritableHub(HubServer):
    """A hub with what it was sent."""

    def __init__(self, **options: Any) -> None:
        self.uploads: list[tuple[str, int]] = []  # digest and bytes of each object that arrived
        self.commits: list[str] = []  # after the one with which a data set begins
        self.bytes_in = 0  # of objects, those of what was cut off too
        self.cut_after: int | None = None  # bytes of objects, until an upload is cut off; once
        self.lose_commit = False  # make the next, and do not answer
        self.part_bytes = 0  # of uploads in parts; 0: whole
        self._objects: dict[str, bytes] = {}
        self._parts: dict[str, dict[int, bytes]] = {}
        super().__init__(**options)

    def is_large(self, name: str, data: bytes) -> bool:  # noqa: ARG002
        return name.endswith(".parquet")

    def tree(self, repo: str) -> Tree:
        """The files of a data set now."""
        found = self._repos[repo]
        return found.trees[found.refs["main"]]

    def is_private(self, repo: str) -> bool:
        return bool(self._repos[repo].token)

    def edit(self, repo: str, changes: dict[str, bytes | None]) -> str:
        """Commit files; None deletes one."""
        found = self._repos[repo]
        tree = dict(found.trees.get(found.refs.get("main", ""), {}))
        for name, data in changes.items():
            tree.pop(name, None)
            if data is not None:
                tree[name] = data
        facts = [sorted((name, oid(data)) for name, data in tree.items()), found.refs.get("main")]
        sha = hashlib.sha1(json.dumps(facts).encode()).hexdigest()
        found.refs["main"], found.trees[sha] = sha, tree
        return sha


class _Handler(Handler):
    server_: WritableHub

    def do_GET(self) -> None:  # noqa: N802
        path = urlsplit(self.path).path
        if path == "/api/whoami-v2":
            self._seen = self._noted()
            role = {TOKEN: "write", READER: "read"}.get(self._token())
            who = {"type": "user", "name": "ann", "auth": {"accessToken": {"role": role}}}
            self._json(who) if role else self._unknown()
        elif "/xet-write-token/" in path:
            self._seen = self._noted()
            self._refuse(404, "", "Not Found")
        elif path.startswith("/api/") and self._token() not in ("", TOKEN, READER):
            self._seen = self._noted()
            self._unknown()
        else:
            super().do_GET()

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:  # noqa: N802
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        body = self._body()
        if body is None:
            return
        if parts[:1] == ["lfs"]:
            self._finish(parts, json.loads(body))
        elif parts[-2:] == ["objects", "batch"]:
            self._may_write() and self._batch(json.loads(body))
        elif parts == ["api", "validate-yaml"]:
            self._json({"errors": [], "warnings": []})
        elif parts[-2] == "paths-info":
            self._paths("/".join(parts[2:4]), json.loads(body), parts[-1])
        elif self._may_write():
            self._change(parts, body)

    def do_PUT(self) -> None:  # noqa: N802
        body = self._body()
        if body is None:
            return
        _, digest, *number = urlsplit(self.path).path.strip("/").split("/")
        if number:
            self.server_._parts.setdefault(digest, {})[int(number[0])] = body
        else:
            self._keep(digest, body)
        self._answer(200, b"", {"ETag": f'"{lfs_oid(body)}"'})

    def _body(self) -> bytes | None:
        """Read what is sent; None where it was cut off."""
        left, cut = int(self.headers["Content-Length"]), self.server_.cut_after
        uploads = self.command == "PUT"
        pieces = []
        while left:
            piece = self.rfile.read(min(left, _PIECE))
            if not piece:
                return None
            pieces.append(piece)
            left -= len(piece)
            if uploads:
                self.server_.bytes_in += len(piece)
            if uploads and cut is not None and self.server_.bytes_in >= cut:
                self.server_.cut_after = None
                self._hang_up()
                return None
        self._seen = self._noted()
        return b"".join(pieces)

    def _noted(self) -> Seen:
        path = unquote(urlsplit(self.path).path)
        seen = Seen(self.port, self.command, path, self.headers.get("Authorization", ""))
        self.server_.note(seen)
        return seen

    def _hang_up(self) -> None:
        linger = struct.pack("ii", 1, 0)  # with a reset
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _change(self, parts: list[str], body: bytes) -> None:
        name = "/".join(parts[2:4])
        if parts == ["api", "repos", "create"]:
            self._create(json.loads(body))
        elif parts[-2] == "preupload":
            self._modes(name, json.loads(body))
        elif parts[-2] == "commit":
            self._commit(self.server_._repos[name], body)
        else:
            self._refuse(404, "", "Not Found")

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        url = f"{self.server_.endpoint}/datasets/{name}"
        if asked["organization"] != "ann":
            self._refuse(403, "", f"You don't have the rights to create {name}")
        elif name in self.server_._repos:
            self._answer(409, json.dumps({"url": url}).encode(), {})
        else:
            private = asked.get("visibility") == "private" or asked.get("private") is True
            self.server_.add(name, token=TOKEN if private else "")
            self.server_.edit(name, {".gitattributes": b"*.parquet filter=lfs\n"})
            self._json({"url": url, "name": name, "id": name})

    def _modes(self, repo: str, asked: dict[str, Any]) -> None:
        tree = self.server_.tree(repo)
        told = []
        for file in asked["files"]:
            path = file["path"]
            large = self.server_.is_large(path, b"")
            known = tree.get(path)
            told.append(
                {
                    "path": path,
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": False,
                    "oid": None if known is None else (lfs_oid if large else oid)(known),
                }
            )
        self._json({"files": told})

    def _batch(self, asked: dict[str, Any]) -> None:
        told = []
        for one in asked["objects"]:
            made: dict[str, Any] = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.server_._objects:
                made["actions"] = self._actions(one["oid"], one["size"])
            told.append(made)
        self._json({"transfer": "basic", "objects": told})

    def _actions(self, digest: str, size: int) -> dict[str, Any]:
        where = f"{self.server_.endpoint}/lfs/{digest}"
        length = self.server_.part_bytes
        if not length or size <= length:
            return {"upload": {"href": where}, "verify": {"href": f"{where}/verify"}}
        urls = {str(n + 1): f"{where}/{n + 1}" for n in range(-(-size // length))}
        header = {"chunk_size": str(length), **urls}
        return {"upload": {"href": f"{where}/whole", "header": header}}

    def _finish(self, parts: list[str], asked: dict[str, Any]) -> None:
        if parts[-1] == "whole":
            pieces = self.server_._parts.pop(asked["oid"])
            self._keep(asked["oid"], b"".join(pieces[number] for number in sorted(pieces)))
        known = asked["oid"] in self.server_._objects
        self._json({}) if known else self._refuse(404, "", "no such object")

    def _keep(self, digest: str, data: bytes) -> None:
        assert lfs_oid(data) == digest
        self.server_._objects[digest] = data
        self.server_.uploads.append((digest, len(data)))

    def _commit(self, repo: Repo, body: bytes) -> None:
        header, *lines = [json.loads(line) for line in body.splitlines()]
        parent = header["value"].get("parentCommit")
        if parent not in (None, repo.refs["main"]):
            self._refuse(412, "", "A commit has happened since. Please refresh and try again.")
            return
        changes: dict[str, bytes | None] = {}
        for line in lines:
            key, value = line["key"], line["value"]
            if key == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                changes[value["path"]] = self.server_._objects[value["oid"]]
            else:
                changes[value["path"]] = None
        sha = self.server_.edit(repo.id, changes)
        self.server_.commits.append(sha)
        if self.server_.lose_commit:
            self.server_.lose_commit = False
            self._hang_up()
            return
        url = f"{self.server_.endpoint}/datasets/{repo.id}/commit/{sha}"
        self._json({"success": True, "commitOid": sha, "commitUrl": url})

    def _paths(self, name: str, asked: dict[str, Any], ref: str) -> None:
        repo = self.server_._repos[name]
        tree = repo.trees[self._sha(repo, ref) or ""]
        found = [path for path in asked["paths"] if path in tree]
        self._json([entry(path, tree[path], self.server_.is_large) for path in found])

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _may_write(self) -> bool:
        if self._token() == TOKEN:
            return True
        if self._token() == READER:
            self._refuse(403, "", "You need write access")
        else:
            self._unknown()
        return False

    def _unknown(self) -> None:
        self._refuse(401, "", "Invalid credentials in Authorization header")


WritableHub.handler = _Handler


@contextlib.contextmanager
def writable_hub(**options: Any) -> Iterator[WritableHub]:
    """A hub for as long as it is used."""
    server = WritableHub(**options)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    """A hub that is this process' hub, and is asked again at once where it is unwell."""
    monkeypatch.setattr(push, "_BACKOFF", Backoff(first=0.01, ceiling=0.02))
    with writable_hub() as server:
        use_hub(monkeypatch, server, TOKEN)
        yield server
