"""Files at addresses, from a real server on this machine that fails, breaks off, is silent, lies and redirects."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from taskkit import Download, Origin, SourceError, Url, fetch
from taskkit.data import transfer

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Gives the files of a site, unless something else is planned for the next request."""

    site: Site

    def do_GET(self) -> None:
        self.site.requests.append((self.path, self.headers["Range"]))
        (self.site.plan.pop(0) if self.site.plan else whole)(self)

    def log_message(self, *arguments: object) -> None:
        pass


Answer = Callable[[Handler], None]


class Site:
    """A web server: what it has, what it does with the next requests instead, and what it was asked for."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files = {"/digits.bin": CONTENT}
        self.plan: list[Answer] = []
        self.requests: list[tuple[str, str | None]] = []
        self.gives_parts = True
        self.versions = "ETag"
        self.closed = threading.Event()

    def url(self, sha256: str = SHA256, path: str = "/digits.bin", retries: int = 3) -> Url:
        return Url(f"{self.address}{path}", sha256, retries=retries)


def whole(handler: Handler, cut: int | None = None) -> None:
    """Give a file, or the part of it that is asked for if it is still the same; `cut`: only so many bytes of it."""
    site = handler.site
    if (content := site.files.get(handler.path)) is None:
        handler.send_error(404)
        return
    version = {"ETag": f'"{hashlib.md5(content).hexdigest()}"', "Last-Modified": f"day {len(content)}"}
    named = {site.versions: version[site.versions]} if site.versions else {}
    start = 0
    if site.gives_parts and handler.headers["If-Range"] in named.values():
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    handler.send_response(206 if start else 200)
    for name, value in named.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    handler.wfile.write(content[start : None if cut is None else start + cut])


def broken_off(after: int) -> Answer:
    return lambda handler: whole(handler, cut=after)


def status(code: int) -> Answer:
    return lambda handler: handler.send_error(code)


def redirected(address: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.end_headers()

    return answer


def silent(handler: Handler) -> None:
    handler.site.closed.wait(60)


def broken_chunk(handler: Handler) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"100\r\n" + CONTENT[:10])


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that are not felt, a cache of its own, and no proxy on the way to this machine."""
    monkeypatch.setattr(transfer, "FIRST_WAIT", 0.001)
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site() -> Iterator[Site]:
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {})) as server:
        made = server.RequestHandlerClass.site = Site(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        made.closed.set()
        server.shutdown()


def fetched(*sources: Url | Download, files: Mapping[str, str | None] | None = None) -> tuple[dict[str, bytes], Origin]:
    folder, origin = fetch("digits", files or {"digits.bin": None}, sources)
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != ".origin.json"}, origin


def test_a_file_at_an_address_is_fetched_once(site: Site) -> None:
    files, origin = fetched(site.url())
    assert files == {"digits.bin": CONTENT}
    assert (origin.source, origin.sha256) == (f"{site.address}/digits.bin", SHA256)
    assert fetched(site.url()) == (files, origin)
    assert len(site.requests) == 1


def test_a_file_is_called_as_its_address_ends(site: Site) -> None:
    site.files["/a/my%20digits.bin?download=1"] = CONTENT
    files, _ = fetched(site.url(path="/a/my%20digits.bin?download=1"), files={"my digits.bin": SHA256})
    assert list(files) == ["my digits.bin"]


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("set-1/digits.bin", CONTENT)
        archive.writestr("set-1/other.txt", "")
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz") as archive:
        member = tarfile.TarInfo("./set-1/digits.bin")
        member.size = len(CONTENT)
        archive.addfile(member, io.BytesIO(CONTENT))
    return content.getvalue()


@pytest.mark.parametrize(("kind", "packed"), [("zip", zipped()), ("tar", tarred())], ids=["zip", "tar"])
def test_an_archive_at_an_address_gives_the_wanted_files_below_its_root(site: Site, kind, packed: bytes) -> None:
    site.files["/set"] = packed
    archive = Url(f"{site.address}/set", hashlib.sha256(packed).hexdigest(), archive=kind, root="set-1")
    assert fetched(archive)[0] == {"digits.bin": CONTENT}


def test_an_archive_is_not_opened_before_its_hash_is_right(site: Site) -> None:
    site.files["/set.zip"] = b"no archive"
    with pytest.raises(SourceError, match=rf"sha256 of set\.zip is \w+, not {SHA256}: it is another file"):
        fetched(Url(f"{site.address}/set.zip", SHA256, archive="zip"))


def test_a_file_address_is_read_in_the_same_way(tmp_path: Path) -> None:
    (tmp_path / "digits.bin").write_bytes(CONTENT)
    assert fetched(Url((tmp_path / "digits.bin").as_uri(), SHA256))[0] == {"digits.bin": CONTENT}
    with pytest.raises(SourceError, match=r"No such file or directory: '.*none\.bin'"):
        fetched(Url((tmp_path / "none.bin").as_uri(), SHA256))


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_server_that_fails_at_first_is_asked_again(site: Site, code: int) -> None:
    site.plan = [status(code)] * 3
    assert fetched(site.url())[0] == {"digits.bin": CONTENT}
    assert len(site.requests) == 4


def test_waits_double_and_stay_below_a_bound(site: Site, monkeypatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(transfer, "LONGEST_WAIT", 0.003)
    site.plan = [status(503)] * 4
    with caplog.at_level("INFO", "taskkit"):
        fetched(site.url(retries=4))
    waits = [line.rpartition("in ")[2] for line in caplog.messages if "trying again" in line]
    assert waits == ["0.001 seconds", "0.002 seconds", "0.003 seconds", "0.003 seconds"]


def test_the_last_failure_is_the_reason(site: Site) -> None:
    site.plan = [status(500), status(502), status(503)]
    with pytest.raises(SourceError, match=r"digits\.bin: HTTP status 503 \(Service Unavailable\) \(tried 3 times\)\n"):
        fetched(site.url(retries=2))
    assert not site.plan


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_what_no_retry_mends_fails_at_once(site: Site, code: int) -> None:
    site.plan = [status(code)]
    with pytest.raises(SourceError, match=rf"digits\.bin: HTTP status {code} \([\w ]+\)\n"):
        fetched(site.url())
    assert len(site.requests) == 1


def test_a_host_that_is_not_found_is_said_so_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SourceError, match=r"/digits\.bin: its host was not found \(Name or service not known\)\n"):
        fetched(Url("http://[::1%nowhere]/digits.bin", SHA256))
    assert "trying again" not in caplog.text


def test_a_server_that_is_not_there_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SourceError, match=r"Connection refused \(tried 4 times\)"):
        fetched(Url(f"http://127.0.0.1:{port}/digits.bin", SHA256))


def test_a_server_that_is_silent_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.1)
    site.plan = [silent, silent]
    with pytest.raises(SourceError, match=r"no byte came for 0\.1 seconds \(tried 2 times\)"):
        fetched(site.url(retries=1))


@pytest.mark.parametrize("versions", ["ETag", "Last-Modified"])
def test_what_broke_off_goes_on_where_it_was(site: Site, versions: str) -> None:
    site.versions = versions
    site.plan = [broken_off(after=1000), status(503), broken_off(after=500)]
    assert fetched(site.url())[0] == {"digits.bin": CONTENT}
    assert [part for _, part in site.requests] == [None, "bytes=1000-", "bytes=1000-", "bytes=1500-"]


def test_what_keeps_breaking_off_says_how_far_it_came(site: Site) -> None:
    site.plan = [broken_off(after=1000)] * 2
    with pytest.raises(SourceError, match=r"it broke off after 2000 of 1048576 bytes \(tried 2 times\)"):
        fetched(site.url(retries=1))


def test_a_server_that_gives_no_parts_gives_all_of_it_again(site: Site) -> None:
    site.gives_parts = False
    site.plan = [broken_off(after=1000)]
    assert fetched(site.url())[0] == {"digits.bin": CONTENT}
    assert [part for _, part in site.requests] == [None, "bytes=1000-"]


def test_parts_are_not_joined_where_nothing_names_the_version(site: Site) -> None:
    site.versions = ""
    site.plan = [broken_off(after=1000), broken_chunk]
    assert fetched(site.url())[0] == {"digits.bin": CONTENT}
    assert [part for _, part in site.requests] == [None, None, None]


def test_parts_of_two_versions_are_not_joined(site: Site) -> None:
    def replaced(handler: Handler) -> None:
        whole(handler, cut=1000)
        site.files["/digits.bin"] = CONTENT

    site.files["/digits.bin"] = CONTENT[::-1]
    site.plan = [replaced]
    assert fetched(site.url())[0] == {"digits.bin": CONTENT}
    assert [part for _, part in site.requests] == [None, "bytes=1000-"]


def test_other_bytes_are_refused_and_the_next_source_is_asked(site: Site, tmp_path: Path) -> None:
    site.files["/digits.bin"] = b"forged"
    with pytest.raises(SourceError, match=rf"the sha256 of digits\.bin is \w+, not {SHA256}: it is another file"):
        fetched(site.url())
    assert len(site.requests) == 1
    assert [path.suffix for path in (tmp_path / "cache/sources").iterdir()] == [".lock"]
    _, origin = fetched(site.url(), Download("site", lambda folder: (folder / "digits.bin").write_bytes(CONTENT)))
    assert origin.source == "site"


def test_a_redirection_is_followed(site: Site) -> None:
    site.files["/new"] = CONTENT
    site.plan = [redirected("/new"), broken_off(after=1000), redirected("/new")]
    assert fetched(site.url())[0] == {"digits.bin": CONTENT}
    assert site.requests[2:] == [("/digits.bin", "bytes=1000-"), ("/new", "bytes=1000-")]


@pytest.mark.parametrize(
    ("target", "reason"), [("file:///etc/passwd", "is not allowed"), ("ftp://127.0.0.1/a", "unknown url type: ftp")]
)
def test_a_redirection_leads_to_no_other_kind_of_address(site: Site, target: str, reason: str) -> None:
    site.plan = [redirected(target)]
    with pytest.raises(SourceError, match=reason):
        fetched(site.url())


@pytest.mark.parametrize("published", [f"{MD5}", f"{MD5}  digits.bin", f"MD5 (digits.bin) = {MD5}\n"])
def test_an_md5_is_given_or_looked_up_where_no_sha256_is_published(site: Site, published: str) -> None:
    site.files["/digits.bin.md5"] = published.encode()
    url = f"{site.address}/digits.bin"
    assert fetched(Url(url, md5=f"{url}.md5"))[0] == fetched(Url(url, md5=MD5))[0] == {"digits.bin": CONTENT}


def test_another_md5_is_refused(site: Site) -> None:
    url = f"{site.address}/digits.bin"
    with pytest.raises(SourceError, match=rf"the md5 of digits\.bin is {MD5}; 0{{32}} is published"):
        fetched(Url(url, md5="0" * 32))
    site.files["/digits.bin.md5"] = b"<html>"
    with pytest.raises(SourceError, match=rf"the md5 of digits\.bin is {MD5}; none is published"):
        fetched(Url(url, md5=f"{url}.md5"))
    with pytest.raises(SourceError, match="HTTP status 404"):
        fetched(Url(url, md5=f"{url}.sum"))


def test_another_hash_is_another_entry_of_the_cache(site: Site) -> None:
    fetched(site.url())
    site.files["/digits.bin"] = b"new"
    assert fetched(site.url(hashlib.sha256(b"new").hexdigest()))[0] == {"digits.bin": b"new"}


def test_an_address_of_another_kind_or_without_one_hash_is_refused_where_it_is_written() -> None:
    for wrong in ("ftp://127.0.0.1/a", "/a", "data:,a"):
        with pytest.raises(ValueError, match="an address that begins with http, https, file was expected"):
            Url(wrong, SHA256)
    for hashes in ({}, {"sha256": SHA256, "md5": MD5}):
        with pytest.raises(ValueError, match="either a sha256 or an md5 was expected"):
            Url("http://127.0.0.1/a", **hashes)
