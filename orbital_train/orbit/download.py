"""Fetching a small file over http(s), and keeping it for the next time."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Thread
from typing import TypeVar
from urllib.error import HTTPError, URLError

from orbital_train.errors import InputError, InputWarning

T = TypeVar("T")

TIMEOUT_S = 60.0  # for every wait, and for the whole answer
LARGEST_BYTES = 256 * 2**20
_CHUNK_BYTES = 2**16
_AGENT = "orbital-train"


def is_url(source: Path | str) -> bool:
    """Whether this is an address and not a file."""
    return str(source).lower().startswith(("http://", "https://"))


def kept_download(url: str, folder: Path, parse: Callable[[bytes], T], *, key: str, keep_s: float, now_s: float) -> T:
    """What ``parse`` makes of the content at a URL, or of a copy that is kept in ``folder``.

    A copy that is younger than ``keep_s`` is used without asking the server. When the server fails, or its answer does
    not parse, an older copy is used with an InputWarning that tells its age. Only answers that parse are kept.

    Args:
        url: the address, http or https.
        folder: where copies are kept, under a digest of the URL.
        parse: raises InputError for content that will not do.
        key: of the recipe, for errors.
        keep_s: age up to which a copy is used as it is.
        now_s: the time by the clock of files, in seconds since 1970.

    Raises:
        InputError: there is neither a usable answer nor a copy.
    """
    copy = folder / hashlib.sha256(url.encode()).hexdigest()
    age_s = now_s - copy.stat().st_mtime if copy.exists() else None
    if age_s is not None and age_s < keep_s:
        return parse(copy.read_bytes())
    try:
        content = download(url, key=key)
        parsed = parse(content)
    except InputError as error:
        if age_s is None:
            raise
        age = f"a copy that is {age_s / 3600.0:.1f} hours old"
        warnings.warn(f"{error}; {age} is used instead", InputWarning, stacklevel=2)
        return parse(copy.read_bytes())
    try:
        _write_whole(copy, content)
    except OSError as error:
        problem = f"cannot be kept for the next time in {folder}: {error.strerror}"
        warnings.warn(f"{key} = {url!r}: {problem}", InputWarning, stacklevel=2)
    return parsed


def download(url: str, *, key: str, timeout_s: float = TIMEOUT_S, largest_bytes: int = LARGEST_BYTES) -> bytes:
    """The content at a URL.

    Raises:
        InputError: the server cannot be reached, refuses, takes too long, breaks off or sends too much.
    """
    try:
        return _within(timeout_s, lambda: _asked(url, timeout_s, largest_bytes))
    except HTTPError as error:
        error.close()
        raise InputError(key, url, f"the server answers {error.code} {error.reason}") from None
    except TimeoutError:
        raise InputError(key, url, f"the server took longer than {timeout_s:g} s") from None
    except URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise InputError(key, url, f"the server took longer than {timeout_s:g} s") from None
        raise InputError(
            key, url, f"cannot be reached: {getattr(error.reason, 'strerror', None) or error.reason}"
        ) from None
    except (OSError, HTTPException, ValueError) as error:
        raise InputError(
            key, url, f"cannot be fetched: {' '.join(str(error).split()) or type(error).__name__}"
        ) from None


def _within(timeout_s: float, work: Callable[[], T]) -> T:
    """What ``work`` gives or raises, or TimeoutError after so long.

    It runs in a thread of its own, and is left to itself after that: a timeout of sockets is one for every piece, and
    nothing limits how long a name is looked up, or how long headers come drop by drop.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except Exception as error:
            outcome.set_exception(error)

    Thread(target=run, daemon=True).start()
    return outcome.result(timeout=timeout_s)


def _asked(url: str, timeout_s: float, largest_bytes: int) -> bytes:
    """The body of the answer."""
    until_s = time.monotonic() + timeout_s
    request = urllib.request.Request(url, headers={"User-Agent": _AGENT})
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        return _read(answer, until_s, largest_bytes)


def _read(answer: HTTPResponse, until_s: float, largest_bytes: int) -> bytes:
    """The body, for as long as somebody waits for it."""
    pieces, size = [], 0
    while piece := answer.read1(_CHUNK_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > largest_bytes:
            raise ValueError(f"larger than {largest_bytes / 2**20:g} MiB")
        if time.monotonic() > until_s:
            raise TimeoutError
    promised = answer.headers["Content-Length"]
    if promised is not None and size != int(promised):
        raise ValueError(f"it broke off after {size} of {promised} bytes")
    return b"".join(pieces)


def _write_whole(path: Path, content: bytes) -> None:
    """Under another name first, so that nobody ever reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).replace(path)
