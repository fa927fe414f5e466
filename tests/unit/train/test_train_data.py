"""Corpora, shards and batches."""

import hashlib
from pathlib import Path

import pytest
import torch

from orbital_train.errors import InputError
from orbital_train.train import corpora
from orbital_train.train.corpora import KNOWN_CORPORA, read_corpus
from orbital_train.train.data.text import Corpus, TextData, load_corpus

COUNTING = Corpus(tokens_N=torch.arange(20_000, dtype=torch.int32), vocabulary="")  # a token is its own position


def data(nodes: tuple[int, ...] = (0, 1, 4), batch_size: int = 4, seed: int = 3, **changes: object) -> TextData:
    split = {"context": 16, "validation_batches": 3} | changes
    return TextData(COUNTING, nodes=nodes, batch_size=batch_size, seed=seed, **split)


def write(path: Path, content: bytes) -> tuple[str, str]:
    path.write_bytes(content)
    return str(path), hashlib.sha256(content).hexdigest()


# -- corpora ---------------------------------------------------------------------------------------------------------


def test_file_becomes_characters(tmp_path: Path) -> None:
    corpus = load_corpus(*write(tmp_path / "text", "añb—a\nb".encode()))
    assert corpus.vocabulary == "\nabñ—"
    assert corpus.tokens_N.tolist() == [1, 3, 2, 4, 1, 0, 2]
    assert corpus.tokens_N.dtype == torch.uint8


def test_a_text_is_read_once_and_another_one_in_its_place_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "text", b"abc")
    corpus = load_corpus(*first)
    name, sha256 = write(tmp_path / "text", b"abcd")
    assert load_corpus(*first) is corpus
    assert load_corpus(name, sha256).vocabulary == "abcd"
    with pytest.raises(InputError, match=sha256):
        load_corpus(*first)  # only the last one is kept


def test_large_alphabets_need_wider_tokens(tmp_path: Path) -> None:
    text = "".join(chr(0x4E00 + k) for k in range(300))
    corpus = load_corpus(*write(tmp_path / "text", text.encode()))
    assert corpus.tokens_N.tolist() == list(range(300))
    assert corpus.tokens_N.dtype == torch.int32


def test_shakespeare_plays() -> None:
    """38 plays; 84 different characters."""
    corpus = load_corpus("shakespeare-plays", str(KNOWN_CORPORA["shakespeare-plays"].sha256))
    assert corpus.tokens_N.numel() == 5_318_730
    assert len(corpus.vocabulary) == 84


def test_standard_library_needs_its_hash_from_the_recipe() -> None:
    content = KNOWN_CORPORA["python-stdlib"].read()
    text = read_corpus("python-stdlib", hashlib.sha256(content).hexdigest())
    assert "def dataclass(" in text
    assert len(text) > 2_000_000


@pytest.mark.parametrize(("distribution", "version", "problem"), [
    ("no-such-distribution", "3.0.0", "its source no-such-distribution is not installed; install it with: "
     "pip install --no-deps no-such-distribution==3.0.0"),
    ("numpy", "0.0.1", "is installed as version"),
])  # fmt: skip
def test_missing_distribution(distribution: str, version: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "PLAYS_DISTRIBUTION", distribution)
    monkeypatch.setattr(corpora, "PLAYS_VERSION", version)
    with pytest.raises(InputError) as caught:
        read_corpus("shakespeare-plays", "")
    assert (caught.value.key, caught.value.value) == ("data.corpus", "shakespeare-plays")
    assert problem in caught.value.problem


def test_missing_file_names_what_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No such file.*shakespeare-plays, python-stdlib, or the path") as caught:
        read_corpus(str(tmp_path / "none"), "")
    assert caught.value.key == "data.corpus"


def test_other_hash_names_both(tmp_path: Path) -> None:
    name, sha256 = write(tmp_path / "text", b"abc")
    with pytest.raises(InputError, match=sha256) as caught:
        read_corpus(name, "0" * 64)
    assert (caught.value.key, caught.value.value) == ("data.sha256", "0" * 64)


@pytest.mark.parametrize(("content", "problem"), [(b"ab\xff", "byte 2 is not"), (b"", "the file is empty")])
def test_unusable_files(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        read_corpus(*write(tmp_path / "text", content))
    assert caught.value.key == "data.corpus"


# -- batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", ["contiguous", "interleaved"])
def test_windows_stay_in_their_shard_and_their_block(shards: str) -> None:
    """18,000 training tokens over three nodes: 6,000 each in one stretch, or 23 blocks of 256 dealt in turn."""
    text = data(shards=shards)
    for i, node in enumerate((0, 1, 4)):
        for step in range(200):
            x_BT, y_BT = text.batch(node, step)
            assert x_BT.shape == y_BT.shape == (4, 16)
            assert torch.equal(y_BT, x_BT + 1)  # the token that follows
            first_B, last_B = x_BT[:, 0], y_BT[:, -1]
            if shards == "contiguous":
                assert bool(((first_B // 6000 == i) & (last_B // 6000 == i)).all())
            else:
                assert bool(((first_B // 256 % 3 == i) & (first_B // 256 == last_B // 256)).all())


@pytest.mark.parametrize("shards", ["contiguous", "interleaved"])
def test_the_whole_shard_is_drawn(shards: str) -> None:
    text = data(batch_size=64, shards=shards)
    seen = torch.cat([text.batch(1, step)[0].flatten() for step in range(300)]).unique()
    size = 6000 if shards == "contiguous" else 23 * 256
    assert seen.numel() > 0.99 * size
    assert int(seen.max()) < 18_000


def test_batches_are_a_pure_function_of_seed_node_and_step() -> None:
    text, again = data(), data()
    forward = {(n, k): text.batch(n, k)[0] for n in (0, 1, 4) for k in range(20)}
    backward = {(n, k): again.batch(n, k)[0] for k in reversed(range(20)) for n in (4, 1, 0)}
    assert all(torch.equal(forward[key], backward[key]) for key in forward)
    assert len({tuple(x.flatten().tolist()) for x in forward.values()}) == 60
    assert not torch.equal(data(seed=4).batch(0, 0)[0], forward[0, 0])


def test_batches_do_not_depend_on_which_other_nodes_ask() -> None:
    """Nor on torch's global generator."""
    torch.manual_seed(1)
    first = data().batch(4, 10)[0]
    torch.manual_seed(2)
    text = data()
    text.batch(0, 10)
    assert torch.equal(text.batch(4, 10)[0], first)


def test_validation_is_the_held_out_end() -> None:
    batches = data().validation()
    assert [x.shape for x, _ in batches] == [(4, 16)] * 3
    first = [int(start) for x, _ in batches for start in x[:, 0]]
    assert first[0] == 18_000
    assert first[-1] == 20_000 - 17
    assert first == sorted(set(first))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(batches, data().validation(), strict=True))


def test_a_batch_longer_than_a_shard_is_refused() -> None:
    """Each of three nodes has 6,000 tokens; 353 sequences of 17 are 6,001."""
    data(batch_size=352, shards="contiguous")
    with pytest.raises(InputError, match="longer than a node's shard of 6000 tokens") as caught:
        data(batch_size=353, shards="contiguous")
    assert (caught.value.key, caught.value.value) == ("inner.batch_size", 353)


def test_too_little_held_out_is_refused() -> None:
    with pytest.raises(InputError, match="holds out 16 of 20000 tokens") as caught:
        data(validation_fraction=0.0008)
    assert caught.value.key == "data.validation_fraction"


def test_text_becomes_tokens_and_back() -> None:
    text = TextData(Corpus(tokens_N=torch.zeros(200), vocabulary="abc"), nodes=(0,), batch_size=1, seed=0, context=4)
    assert text.vocabulary_size == 3
    assert text.decode(text.encode("cabba")) == "cabba"
    with pytest.raises(ValueError, match="the corpus has no character 'ö'"):
        text.encode("böse")
