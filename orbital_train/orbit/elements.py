"""Reading element sets, from a file or over the network, in any of their formats."""

from __future__ import annotations

import io
import zlib
from gzip import GzipFile
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from orbital_train.errors import InputError
from orbital_train.orbit.download import is_url, kept_download
from orbital_train.orbit.element_sets import BrokenElements, Element
from orbital_train.orbit.folders import cache_folder
from orbital_train.orbit.omm import parse_omm
from orbital_train.orbit.tle import parse_tle

Format = Literal["tle", "omm"]
_KEY = "fleet.path"
# Unpacked text; the catalogue of all 30,000 objects in orbit is 50 MB as XML.
LARGEST_BYTES = 256 * 2**20


def read_elements(source: Path | str, form: Format, *, cache_s: float, now_s: float) -> list[Element]:
    """Read element sets: TLE, or OMM as JSON, CSV or XML; gzipped if the name ends in ``.gz``.

    Args:
        source: a file, or an http(s) URL; what came from a URL is kept under the folder for cached files.
        form: the format.
        cache_s: age up to which a kept copy is used without asking the server.
        now_s: the time by the clock of files, in seconds since 1970.

    Raises:
        InputError: the file or the answer is missing, empty or broken (key ``fleet.path``), with the line or record.
    """
    if not is_url(source):
        return _parsed(str(source), _file_bytes(Path(source)), form)
    url = str(source)
    return kept_download(
        url,
        cache_folder("elements"),
        lambda data: _parsed(url, data, form),
        key=_KEY,
        keep_s=cache_s,
        now_s=now_s,
    )


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(_KEY, str(path), f"cannot be read: {error.strerror or error}") from error


def _parsed(source: str, data: bytes, form: Format) -> list[Element]:
    try:
        text = _unpacked(source, data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(_KEY, source, f"cannot be read: {error}") from error
    try:
        return parse_tle(text) if form == "tle" else parse_omm(text)
    except BrokenElements as error:
        raise InputError(_KEY, source, str(error)) from error


def _unpacked(source: str, data: bytes) -> bytes:
    name = urlsplit(source).path if is_url(source) else source
    if not name.endswith(".gz"):
        return data
    with GzipFile(fileobj=io.BytesIO(data)) as file:
        unpacked = file.read(LARGEST_BYTES + 1)
    if len(unpacked) > LARGEST_BYTES:
        raise OSError(f"larger than {LARGEST_BYTES // 2**20} MiB when unpacked")
    return unpacked
