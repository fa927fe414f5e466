from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orbital_train.errors import InputError, InputWarning
from orbital_train.orbit.download import download, is_url, kept_download
from tests.unit.orbit.server import Answer, Server, content, failure, serving

HOUR_S = 3600.0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as made:
        yield made


def parse(data: bytes) -> str:
    """Only what starts with ``good`` will do."""
    if not data.startswith(b"good"):
        raise InputError("fleet.path", "the URL", "is not good")
    return data.decode()


def kept(server: Server, folder: Path, now_s: float) -> str:
    return kept_download(server.url, folder, parse, key="fleet.path", keep_s=24 * HOUR_S, now_s=now_s)


def copy_of(folder: Path, written_s: float) -> Path:
    (path,) = folder.iterdir()
    os.utime(path, (written_s, written_s))
    return path


def problem(url: str, **limits: float) -> str:
    with pytest.raises(InputError) as caught:
        download(url, key="fleet.path", **limits)  # type: ignore[arg-type]
    assert (caught.value.key, caught.value.value) == ("fleet.path", url)
    return caught.value.problem


def test_what_is_a_url() -> None:
    assert is_url("https://celestrak.org/NORAD/elements/gp.php?GROUP=starlink&FORMAT=json")
    assert is_url("http://localhost/a")
    assert is_url("HTTP://localhost/a")
    assert not is_url("elements/http.json")
    assert not is_url(Path("file:///etc/passwd"))


def test_a_copy_is_used_until_it_is_too_old(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "elements"
    assert kept(server, folder, 0.0) == "good"
    assert server.paths == ["/gp.php?GROUP=starlink&FORMAT=json"]
    copy_of(folder, 1000.0 * HOUR_S)
    server.answer = content(b"good, newer")
    assert kept(server, folder, 1023.9 * HOUR_S) == "good"
    assert len(server.paths) == 1
    assert kept(server, folder, 1024.1 * HOUR_S) == "good, newer"
    assert copy_of(folder, 0.0).read_bytes() == b"good, newer"


def test_a_scheme_may_be_in_capitals(server: Server) -> None:
    assert download(server.url.replace("http", "HTTP"), key="fleet.path") == b"good"


def test_every_url_has_a_copy_of_its_own(server: Server, tmp_path: Path) -> None:
    kept(server, tmp_path, 0.0)
    server.url += "&more"
    kept(server, tmp_path, 0.0)
    assert len(list(tmp_path.iterdir())) == len(server.paths) == 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (failure(503), "fleet.path = '{url}': the server answers 503 Service Unavailable"),
        (content(b"No GP data found"), "fleet.path = 'the URL': is not good"),
        (content(b"good", length=9), "fleet.path = '{url}': cannot be fetched: it broke off after 4 of 9 bytes"),
    ],
    ids=["error", "content", "truncated"],
)
def test_when_the_server_fails_an_older_copy_is_used_and_told(
    server: Server, tmp_path: Path, answer: Answer, told: str
) -> None:
    kept(server, tmp_path, 0.0)
    copy_of(tmp_path, 1000.0 * HOUR_S)
    server.answer = answer
    with pytest.warns(InputWarning) as caught:
        assert kept(server, tmp_path, 1031.2 * HOUR_S) == "good"
    problem = told.replace("{url}", server.url)
    assert str(caught[0].message) == f"{problem}; a copy that is 31.2 hours old is used instead"
    assert copy_of(tmp_path, 0.0).read_bytes() == b"good"


def test_without_a_copy_the_failure_is_an_error_and_nothing_is_kept(server: Server, tmp_path: Path) -> None:
    server.answer = content(b"Invalid query")
    with pytest.raises(InputError, match="is not good"):
        kept(server, tmp_path / "elements", 0.0)
    assert not (tmp_path / "elements").exists()


def test_what_a_killed_writer_left_behind_is_not_read(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".half").write_bytes(b"go")
    assert kept(server, tmp_path, 0.0) == "good"
    assert kept(server, tmp_path, time.time()) == "good"
    assert len(server.paths) == 1


def test_a_copy_that_cannot_be_kept_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.warns(InputWarning) as caught:
        assert kept(server, tmp_path / "file", 0.0) == "good"
    told = f"cannot be kept for the next time in {tmp_path / 'file'}: File exists"
    assert str(caught[0].message) == f"fleet.path = '{server.url}': {told}"


def test_errors_of_servers(server: Server) -> None:
    server.answer = failure(404)
    assert problem(server.url) == "the server answers 404 Not Found"
    server.answer = content(b"x" * 2000)
    assert problem(server.url, largest_bytes=1024) == "cannot be fetched: larger than 0.000976562 MiB"
    server.answer = lambda request: request.wfile.write(b"nonsense\r\n\r\n")
    assert problem(server.url) == "cannot be fetched: nonsense"
    server.answer = lambda request: None
    assert problem(server.url) == "cannot be fetched: Remote end closed connection without response"


def test_servers_that_cannot_be_reached() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    assert problem(f"http://127.0.0.1:{port}/") == "cannot be reached: Connection refused"
    assert problem("http://127.0.0.1:port/") == "cannot be fetched: nonnumeric port: 'port'"
    assert problem("http://") == "cannot be reached: no host given"


def test_a_server_that_does_not_answer(server: Server) -> None:
    server.answer = lambda request: server.closing.wait() and None
    assert problem(server.url, timeout_s=0.1) == "the server took longer than 0.1 s"


def test_a_server_that_drips(server: Server) -> None:
    """Every piece comes in time, the whole does not."""

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not server.closing.wait(0.02):
            request.wfile.write(b"x")

    server.answer = drip
    assert problem(server.url, timeout_s=0.2) == "the server took longer than 0.2 s"


def test_a_server_whose_headers_drip(server: Server) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        while not server.closing.wait(0.02):
            request.wfile.write(b"x")

    server.answer = drip
    assert problem(server.url, timeout_s=0.2) == "the server took longer than 0.2 s"


def test_an_answer_in_time_is_no_warning(server: Server, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept(server, tmp_path, 0.0)
