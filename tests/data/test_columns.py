"""Lines as arrays: the same as through pydantic, whatever they hold; what Arrow might read otherwise is refused."""

import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.data import columns as module
from danlu.data import core, minhash
from danlu.data.columns import columns, decoded
from danlu.data.flow import Block, encoded
from danlu.errors import DataError
from danlu.records import Document

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FIELDS = {"id": "a", "source": "s", "text": "丹爐"}


def block(data: bytes) -> Block:
    return Block("made.jsonl", 0, len(data), 1, 0, data)


def lists(found) -> list:
    texts = np.split(found.codes, found.bounds[1:-1])
    return [
        found.starts.tolist(),
        found.sizes.tolist(),
        found.ids,
        found.id_sizes.tolist(),
        found.sources.to_pylist(),
        [text.tolist() for text in texts],
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=8), st.booleans())
def test_arrow_and_pydantic_see_the_same(fields, blank):
    documents = [Document(id=a, text=b, source=c, meta={"x": [a, {"y": b}]}) for a, b, c in fields]
    data = (b"\n" * (1 + blank)).join(encoded(one).rstrip(b"\n") for one in documents) + b"\n"
    quick = module._by_arrow(data)
    assert quick is not None
    assert lists(quick) == lists(module._by_pydantic(data, block(data)))
    assert [bytes(data[at : at + size]) for at, size in zip(quick.starts, quick.sizes, strict=True)] == [
        encoded(one).rstrip(b"\n") for one in documents
    ]


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": "a", "source": "s", "text": null}',
        b'{"id": "a", "source": "s"}',
        b'{"id": "a", "source": "s", "text": 3}',
        b'{"id": "a", "source": "s", "text": "\\ud800"}',
        b'{"id": "a", "source": "s", "text": "\xed\xa0\x80"}',
        b'{"id": "a", "source": "s", "text": "\xc0\xaf"}',
        b'{"id": "a", "source": "s", "text": "x"',
        b'{"id": "a", "source": "s", "text": "x"}{"id": "b", "source": "s", "text": "x"}',
        b'["id"]',
    ],
)
def test_what_is_no_document_is_told_with_its_line(line):
    data = json.dumps(FIELDS).encode() + b"\n" + line + b"\n"
    with pytest.raises(DataError) as told:
        columns(block(data))
    assert "made.jsonl:2" in str(told.value)


def test_what_is_not_read_may_be_deep():
    line = b'{"id": "a", "source": "s", "text": "x", "meta": {"deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    assert columns(block(line)).ids == b"a"


def test_white_space_and_empty_blocks():
    line = json.dumps(FIELDS).encode()
    assert columns(block(b" \n" + line + b" \n\n")).starts.tolist() == [2]
    assert len(columns(block(b"")).starts) == 0


@settings(deadline=None)
@given(st.binary(max_size=30))
def test_utf8_is_read_as_python_reads_it(data):
    codes, _, valid = decoded(np.frombuffer(data, np.uint8), np.array([0, len(data)], np.int32))
    try:
        expected = [ord(character) for character in data.decode()]
    except UnicodeDecodeError:
        assert not valid
    else:
        assert valid
        assert codes.tolist() == expected


def test_threads_learn_one_table(monkeypatch):
    """An entry is never changed once it is there, whoever was first."""
    fresh = core.Folding()
    monkeypatch.setattr(minhash, "folding", lambda: fresh)
    texts = ["ﬃ㍿Ａ①" + "".join(map(chr, range(start, start + 400))) for start in range(0x2400, 0x3400, 97)]
    expected = [core.whole(text) or text for text in texts]
    found = {}

    def work(number: int) -> None:
        codes, bounds = minhash.cores(texts)
        found[number] = [part.tobytes().decode("utf-32-le") for part in np.split(codes, bounds[1:-1])]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == expected for number in range(6))
