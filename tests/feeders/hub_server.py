"""A hub of data sets on this machine: the API and the resolve endpoint, over a folder's revisions.

Two ports: the hub, and the storage to which it sends those who ask for large files. What is asked
is noted, with the bytes that were sent for it.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from huggingface_hub import constants

Tree = dict[str, bytes]
IsLarge = Callable[[str, bytes], bool]


@dataclass
class Seen:
    """One request, and what was sent for it."""

    port: str  # "hub" or "cdn"
    method: str
    path: str
    authorization: str
    status: int = 0
    sent: int = 0  # bytes of the body


@dataclass
class Repo:
    """A data set's revisions: branches and tags by name, trees by commit."""

    id: str
    token: str = ""  # who has it may read; empty: all may
    gated: bool = False  # all may list, who has the token may read
    refs: dict[str, str] = field(default_factory=dict)
    trees: dict[str, Tree] = field(default_factory=dict)

    def commit(self, folder: Path, ref: str = "main") -> str:
        """Take in a folder as the newest revision of a branch; gives the commit's name."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        tree = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        facts = [(path, oid(data)) for path, data in tree.items()] + [
            ("parent", self.refs.get(ref))
        ]
        sha = hashlib.sha1(json.dumps(facts).encode()).hexdigest()
        self.refs[ref] = sha
        self.trees[sha] = tree
        return sha


class HubServer:
    """The hub and its storage."""

    handler: "type[Handler]"  # of the requests

    def __init__(self, *, page: int = 1000, lfs_from: int = 4096) -> None:
        self.page = page  # entries of one answer about a tree
        self.lfs_from = lfs_from  # bytes from which on a file lies in the storage
        self.seen: list[Seen] = []
        self.storage = ""  # where large files are said to be; empty: at our own second port
        self._repos: dict[str, Repo] = {}
        self._lock = Lock()
        self._hub = _listen(self, "hub")
        self._cdn = _listen(self, "cdn")

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT would say."""
        return f"http://127.0.0.1:{self._hub.server_port}"

    @property
    def cdn(self) -> str:
        """Where large files lie."""
        return self.storage or f"http://127.0.0.1:{self._cdn.server_port}"

    def add(self, repo: str, *, token: str = "", gated: bool = False) -> Repo:
        """Begin a data set without revisions."""
        self._repos[repo] = Repo(repo, token, gated)
        return self._repos[repo]

    def repo(self, parts: list[str]) -> tuple[Repo, list[str]] | None:
        """Find the data set that a path begins with, and the rest of the path."""
        for count in (2, 1):
            if repo := self._repos.get("/".join(parts[:count])):
                return repo, parts[count:]
        return None

    def is_large(self, name: str, data: bytes) -> bool:  # noqa: ARG002 - others go by it
        """Whether a file lies in the storage."""
        return len(data) >= self.lfs_from

    def note(self, seen: Seen) -> None:
        """Keep what was asked."""
        with self._lock:
            self.seen.append(seen)

    def asked(self, path: str = "", port: str = "") -> list[Seen]:
        """The requests so far for paths that end so."""
        with self._lock:
            return [s for s in self.seen if s.path.endswith(path) and port in ("", s.port)]

    def sent(self, path: str = "") -> int:
        """Bytes sent so far for paths that end so."""
        return sum(seen.sent for seen in self.asked(path))

    def close(self) -> None:
        """Stop listening."""
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()


@contextlib.contextmanager
def hub_server(**options: Any) -> Iterator[HubServer]:
    """A hub for as long as it is used."""
    server = HubServer(**options)
    try:
        yield server
    finally:
        server.close()


def oid(data: bytes) -> str:
    """Name a small file as git does."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def lfs_oid(data: bytes) -> str:
    """Name a large file as its storage does."""
    return hashlib.sha256(data).hexdigest()


def _listen(server: HubServer, port: str) -> ThreadingHTTPServer:
    handler = type("Handler", (server.handler,), {"server_": server, "port": port})
    made = _Listener(("127.0.0.1", 0), handler)
    Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    return made


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # connections at once; with more than that one waits a second


class Handler(BaseHTTPRequestHandler):
    server_: HubServer
    port: str
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        authorization = self.headers.get("Authorization", "")
        self._seen = Seen(self.port, self.command, unquote(url.path), authorization)
        self.server_.note(self._seen)
        # Split before unquoting: a revision or a path may hold %2F.
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if self.port == "cdn":
            self._store(parts)
        elif parts[:2] == ["api", "datasets"]:
            self._api(parts[2:], parse_qs(url.query))
        elif parts[0] == "datasets":
            self._resolve(parts[1:])
        else:
            self._refuse(404, "")

    do_HEAD = do_GET  # noqa: N815 - the name is the library's

    def _api(self, parts: list[str], query: dict[str, list[str]]) -> None:
        found = self.server_.repo(parts)
        if found is None or not self._may_know(found[0]):
            self._refuse(401, "RepoNotFound", "Invalid username or password.")
            return
        repo, rest = found
        what, ref, *path = rest if len(rest) > 1 else ["revision", "main"]
        sha = self._sha(repo, ref)
        if sha is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {ref}")
        elif what == "tree":
            self._tree(repo, sha, "/".join(path), query)
        else:
            files = [{"rfilename": name} for name in repo.trees[sha]]
            facts = {"id": repo.id, "sha": sha, "siblings": files, "gated": self._gate(repo)}
            self._json({**facts, "private": bool(repo.token) and not repo.gated})

    def _gate(self, repo: Repo) -> str | bool:
        return "auto" if repo.gated else False

    def _tree(self, repo: Repo, sha: str, path: str, query: dict[str, list[str]]) -> None:
        recursive = query.get("recursive", [""])[0].lower() in ("true", "1")
        entries = _entries(repo.trees[sha], path, recursive, self.server_.is_large)
        if path and not entries:
            self._refuse(404, "EntryNotFound", f"{path} does not exist")
            return
        at = int(query.get("cursor", ["0"])[0])
        end = at + self.server_.page
        more = {}
        if end < len(entries):
            asked = urlsplit(self.path).path
            flags = f"recursive={str(recursive).lower()}&cursor={end}"
            more = {"Link": f'<{self.server_.endpoint}{asked}?{flags}>; rel="next"'}
        self._json(entries[at:end], more)

    def _resolve(self, parts: list[str]) -> None:
        found = self.server_.repo(parts)
        if found is None or not self._may_know(found[0]):
            self._refuse(401, "RepoNotFound", "Invalid username or password.")
            return
        repo, (_, ref, *path) = found
        sha = self._sha(repo, ref)
        data = repo.trees[sha].get("/".join(path)) if sha else None
        if not self._may_read(repo):
            self._refuse(401, "GatedRepo", f"Access to dataset {repo.id} is restricted.")
        elif sha is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {ref}")
        elif data is None:
            self._refuse(404, "EntryNotFound", "Entry not found")
        elif not self.server_.is_large("/".join(path), data):
            self._send(data, {"ETag": f'"{oid(data)}"', "X-Repo-Commit": sha})
        else:
            self._send_on(repo, sha, "/".join(path), data)

    def _send_on(self, repo: Repo, sha: str, path: str, data: bytes) -> None:
        where = f"{self.server_.cdn}/{repo.id}/{sha}/{quote(path)}?signature={lfs_oid(data)}"
        linked = {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{lfs_oid(data)}"'}
        self._answer(302, b"", {**linked, "X-Repo-Commit": sha, "Location": where})

    def _store(self, parts: list[str]) -> None:
        found = self.server_.repo(parts)
        if "signature=" not in self.path or self._seen.authorization or found is None:
            self._refuse(403, "")  # a token is none of the storage's business
            return
        repo, (sha, *path) = found
        data = repo.trees[sha]["/".join(path)]
        self._send(data, {"ETag": f'"{lfs_oid(data)}"'})

    def _send(self, data: bytes, headers: dict[str, str]) -> None:
        headers |= {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        asked = self.headers.get("Range", "")
        if not asked:
            self._answer(200, data, headers)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last) + 1 if last else len(data), len(data))
        if start >= len(data):
            self._answer(416, b"", {**headers, "Content-Range": f"bytes */{len(data)}"})
            return
        span = f"bytes {start}-{end - 1}/{len(data)}"
        self._answer(206, data[start:end], {**headers, "Content-Range": span})

    def _may_know(self, repo: Repo) -> bool:
        return repo.gated or self._may_read(repo)

    def _may_read(self, repo: Repo) -> bool:
        return not repo.token or self._seen.authorization == f"Bearer {repo.token}"

    def _sha(self, repo: Repo, ref: str) -> str | None:
        return ref if ref in repo.trees else repo.refs.get(ref)

    def _json(self, what: Any, headers: dict[str, str] | None = None) -> None:
        kind = {"Content-Type": "application/json"}
        self._answer(200, json.dumps(what).encode(), {**kind, **(headers or {})})

    def _refuse(self, status: int, code: str, message: str = "") -> None:
        self._answer(status, message.encode(), {"X-Error-Code": code, "X-Error-Message": message})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._seen.status = status
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._seen.sent = len(body)
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def _entries(tree: Tree, path: str, recursive: bool, is_large: IsLarge) -> list[dict[str, Any]]:
    prefix = f"{path}/" if path else ""
    found: dict[str, dict[str, Any]] = {}
    for name, data in tree.items():
        if not name.startswith(prefix):
            continue
        inner = name.removeprefix(prefix).split("/")
        for depth in range(1, len(inner) if recursive else min(2, len(inner))):
            folder = prefix + "/".join(inner[:depth])
            found[folder] = {"type": "directory", "path": folder, "oid": oid(folder.encode())}
        if recursive or len(inner) == 1:
            found[name] = entry(name, data, is_large)
    return [found[name] for name in sorted(found)]


def entry(name: str, data: bytes, is_large: IsLarge) -> dict[str, Any]:
    """Tell of a file as the hub does."""
    made: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": oid(data)}
    if is_large(name, data):
        pointer = b"sha256:" + lfs_oid(data).encode()
        made["oid"] = oid(pointer)
        made["lfs"] = {"oid": lfs_oid(data), "size": len(data), "pointerSize": len(pointer)}
    return made


HubServer.handler = Handler


def use_hub(monkeypatch: pytest.MonkeyPatch, server: HubServer, token: str = "") -> None:
    """Let this process have that hub for the hub, and that token or none."""
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # read when it was imported
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nonexistent")
    for name in ("HUGGINGFACE_HUB_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", token)
