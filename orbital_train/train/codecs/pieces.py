"""How a vector is cut into pieces, and these into rows of one width."""

from __future__ import annotations

from collections.abc import Iterator

PIECE = 2**20  # elements: 4 MiB of float32; a multiple of every width


def rows(start: int, stop: int, width: int) -> Iterator[tuple[int, int, int]]:
    """(first element, rows, width) of matrices that cover ``[start, stop)``; only the last may be one shorter row.

    ``start`` is a multiple of ``width``. None is larger than a piece.
    """
    whole = start + (stop - start) // width * width
    for first in range(start, whole, PIECE):
        yield first, (min(first + PIECE, whole) - first) // width, width
    if whole < stop:
        yield whole, 1, stop - whole
