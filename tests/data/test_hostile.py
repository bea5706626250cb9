"""Hostile input: bounded time and memory, one clear reason each, and the rest of the corpus unharmed."""

import gzip
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
import types
import zipfile
from pathlib import Path

import pytest

from danlu.data import read as reading
from danlu.data.files import files
from danlu.data.read import Read, ReadSettings, batches
from danlu.data.readers import READERS, Bad, Reading, Unreadable, readings
from danlu.errors import DataError
from danlu.track import Track

PROSE = "檢索增強生成先找出相關的段落，再請模型根據段落回答問題。這樣的系統需要可靠的資料，也需要可靠的評估。\n"


def zipped(method=zipfile.ZIP_DEFLATED, **members) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return held.getvalue()


def line(**fields) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def write(root: Path, **held: bytes | str) -> Path:
    root.mkdir(exist_ok=True)
    for name, content in held.items():
        (root / name.replace("__", ".")).write_bytes(content.encode() if isinstance(content, str) else content)
    return root


@pytest.fixture
def read(steps, opened, tmp_path):
    """Reads the folder `in`; a document's or a drop's name is its id without the folder's."""

    def go(**settings):
        made = opened(steps("data.read", paths=[tmp_path / "in"], **settings))
        texts = {document.id.removeprefix("in/"): document.text for document in made.documents}
        return texts, {drop.id.removeprefix("in/"): (drop.reason, drop.detail) for drop in made.dropped}

    return go


def test_archives_that_lie(read, tmp_path):
    inner = zipped(**{"deep.txt": PROSE})
    write(
        tmp_path / "in",
        bomb__zip=zipped(**{"zeros.txt": b"\0" * 2**25, "good.txt": PROSE}),
        names__zip=zipped(**{"../../up.txt": PROSE, "/etc/root.txt": PROSE, "fine/a.txt": PROSE}),
        nested__zip=zipped(**{"two.zip": zipped(**{"three.zip": zipped(**{"four.zip": inner})}), "one.zip": inner}),
        bomb__gz=b"",
        cut__zip=zipped(**{"a.txt": PROSE})[:60],
        kinds__zip=zipped(**{"a.exe": b"MZ", ".hidden.txt": PROSE, "mail.jsonl": line(text=PROSE) + b"{no\n"}),
        word__docx=zipped(**{"word/document.xml": b"<a>" * 10}),
    )
    with gzip.open(tmp_path / "in" / "bomb.txt.gz", "wb") as file:
        for _ in range(20):
            file.write(b"\0" * 2**20)
    texts, drops = read()
    assert {name: reason for name, (reason, _) in drops.items()} == {
        "bomb.zip#zeros.txt": "zip-bomb",
        "names.zip#../../up.txt": "unsafe-name",
        "names.zip#/etc/root.txt": "unsafe-name",
        "nested.zip#two.zip#three.zip#four.zip": "too-deep",
        "bomb.gz": "unsupported-format",
        "bomb.txt.gz": "zip-bomb",
        "cut.zip": "broken-zip",
        "kinds.zip#a.exe": "unsupported-format",
        "kinds.zip#.hidden.txt": "hidden",
        "kinds.zip#mail.jsonl#line 2": "broken-json",
        "word.docx": "broken-docx",
    }
    assert set(texts) == {
        "bomb.zip#good.txt",
        "names.zip#fine/a.txt",
        "nested.zip#one.zip#deep.txt",
        "kinds.zip#mail.jsonl#line 1",
    }
    assert not list(tmp_path.rglob("up.txt"))


def test_a_line_that_never_ends(read, tmp_path):
    """200 MB without a line end, within a quarter of a gigabyte of memory; reading goes on after it."""
    root = write(tmp_path / "in", short__jsonl=line(text=PROSE))
    with (root / "long.jsonl").open("wb") as file:
        file.write(line(text="前" + PROSE) + b'{"text": "')
        for _ in range(200):
            file.write(b"x" * 2**20)
        file.write(b'"}\n' + line(text="後" + PROSE))
    texts, drops = read(memory_gb=0.25)
    reasons = {name: reason for name, (reason, _) in drops.items()}
    assert reasons == {"long.jsonl#line 2": "record-too-long"}
    assert list(texts) == ["long.jsonl#line 1", "long.jsonl#line 3", "short.jsonl#line 1"]
    assert texts["long.jsonl#line 3"].startswith("後")


def test_json_that_is_deep_or_huge(read, tmp_path):
    write(
        tmp_path / "in",
        deep__json=b"[" * 10**6,
        closed__json=b"[" * 10**6 + b"]" * 10**6,
        lines__jsonl=b'{"text":' * 10**5 + b"1" + b"}" * 10**5 + b"\n" + line(text=PROSE),
        wide__json=b"[" + b"[]," * 8_000_000 + b"[]]",
        good__md=PROSE,
    )
    texts, drops = read(memory_gb=0.4)
    assert {name: reason for name, (reason, _) in drops.items()} == {
        "deep.json": "too-deep",
        "closed.json": "too-deep",
        "lines.jsonl#line 1": "too-deep",
        "wide.json": "too-large",
    }
    assert set(texts) == {"lines.jsonl#line 2", "good.md"}


def test_characters_that_are_none(read, tmp_path):
    write(
        tmp_path / "in",
        nul__txt=b"abc\0def" * 9,
        middle__txt=PROSE.encode() * 50 + b"\xff\xfe\xfa" + PROSE.encode() * 50,
        mixed__jsonl=line(text=PROSE) + b'{"text": "\xff\xfe"}\n' + line(text=PROSE),
        lone__json=b'[{"text": "a\\ud800b \\ud83d\\udd25", "title": "\\udfff"}]',
        nuls__json=b'[{"text": "a\\u0000b"}]',
        bidi__md=f"# 標題\u202etxt.exe\u202c\n\n{PROSE}",
        bom__jsonl=b"\xef\xbb\xbf" + line(text=PROSE),
        wide__jsonl=b"\xff\xfe" + line(text=PROSE).decode().encode("utf-16-le") * 2,
    )
    texts, drops = read()
    assert {name: reason for name, (reason, _) in drops.items()} == {
        "nul.txt": "binary",
        "mixed.jsonl#line 2": "undecodable",
    }
    assert texts["lone.json#record 1"] == "a\ufffdb 🔥"
    assert texts["nuls.json#record 1"] == "ab"
    assert "\u202e" in texts["bidi.md"]  # told as it is; data.clean takes such marks away
    assert texts["bom.jsonl#line 1"] == texts["wide.jsonl#line 2"] == PROSE
    assert texts["middle.txt"] == PROSE * 50 + "\ufffd" + PROSE * 50
    assert "offset" in drops["mixed.jsonl#line 2"][1]


def test_json_as_the_standard_has_it(shared, tmp_path):
    """JSONTestSuite: what must be accepted is, what must be refused is, each with one of the reasons."""
    refused = {"broken-json", "binary", "undecodable", "empty", "too-deep"}
    counts = {"y": 0, "n": 0, "i": 0}
    for path in sorted((shared / "messy" / "jsontestsuite" / "test_parsing").glob("*.json")):
        try:
            reasons = {found.reason for found in readings(path) if isinstance(found, Bad)}
        except Unreadable as error:
            reasons = {error.reason}
        kind = path.name[0]
        counts[kind] += 1
        allowed = {"y": {"no-text-field", "empty"}, "n": refused, "i": refused | {"no-text-field"}}[kind]
        assert reasons <= allowed, path.name
        assert reasons or kind != "n", path.name
    assert counts == {"y": 95, "n": 186, "i": 35}


def test_naughty_strings_come_through_whole(shared, steps, opened):
    path = shared / "messy" / "blns" / "blns.json"
    wanted = [text for text in json.loads(path.read_bytes()) if text.strip()]
    made = opened(steps("data.read", paths=[path]))
    assert len(made.documents) == len(wanted)
    assert all(
        a.text == b.replace("\r\n", "\n").replace("\r", "\n") for a, b in zip(made.documents, wanted, strict=True)
    )
    assert made.reasons == {"empty": 2}  # nothing, and a space that Unicode has


def test_what_is_no_file(read, tmp_path):
    root = write(tmp_path / "in", good__md=PROSE, closed__md=PROSE)
    os.mkfifo(root / "pipe.jsonl")
    (root / "zero.txt").symlink_to("/dev/zero")
    (root / "loop.md").symlink_to("loop.md")
    (root / "sub").mkdir()
    (root / "sub" / "up").symlink_to(root)
    (root / "closed.md").chmod(0)
    texts, drops = read()
    assert {name: reason for name, (reason, _) in drops.items() if name != "closed.md"} == {
        "pipe.jsonl": "not-a-file",
        "zero.txt": "not-a-file",
        "loop.md": "unreadable",
        "sub/up": "link-to-folder",
    }
    if os.geteuid():  # root reads it all the same
        assert drops["closed.md"][0] == "unreadable"
    assert "good.md" in texts


def test_a_file_that_vanishes_or_shrinks_while_it_is_read(tmp_path):
    root = write(tmp_path / "in", a__md=PROSE, b__md=PROSE, c__jsonl=line(text=PROSE))
    held = list(batches(files([root], [])))
    (root / "b.md").unlink()
    (root / "c.jsonl").write_bytes(b"")
    (tmp_path / "shelf").mkdir()
    counts = reading._Work(ReadSettings(paths=[root]), str(tmp_path / "shelf"))(held[0])
    assert (counts.documents, dict(counts.reasons)) == (1, {"unreadable": 1, "empty": 1})


# ── readers that misbehave ───────────────────────────────────────────────────────────────────────────────────────────


class Evil(reading._Work):
    """Work that knows a reader for `.evil` files, which does what its text says."""

    def __call__(self, batch):
        module = types.ModuleType("danlu.data.readers.evil")
        module.read = misbehave
        sys.modules[module.__name__] = module
        READERS[".evil"] = "evil"
        return super().__call__(batch)


def misbehave(data: bytes) -> Reading:
    deed = data.decode().strip()
    if deed == "hang":
        time.sleep(600)
    elif deed == "grow":
        held = [bytearray(2**24) for _ in range(2**20)]
        assert held
    elif deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif deed == "raise":
        raise ValueError("a defect\nin two lines")
    elif deed == "recurse":
        misbehave(data + b"")
        raise RecursionError
    return Reading(deed)


@pytest.fixture
def evil(monkeypatch):
    monkeypatch.setitem(READERS, ".evil", "evil")
    monkeypatch.setattr(reading, "_Work", Evil)


def test_a_reader_that_misbehaves_costs_its_own_file_only(read, tmp_path, evil):
    write(
        tmp_path / "in",
        a__md=PROSE,
        b__evil="hang",
        c__evil="fine",
        d__evil="grow",
        e__evil="die",
        f__evil="raise",
        g__zip=zipped(**{"x.txt": PROSE, "hang.evil": "hang", "die.evil": "die", "y.txt": PROSE, "z.evil": "fine"}),
        h__md=PROSE,
    )
    texts, drops = read(seconds=2, memory_gb=0.3)
    assert {name: reason for name, (reason, _) in drops.items()} == {
        "b.evil": "too-slow",
        "d.evil": "too-large",
        "e.evil": "crashed",
        "f.evil": "crashed",
        "g.zip#hang.evil": "too-slow",
        "g.zip#die.evil": "crashed",
    }
    assert set(texts) == {"a.md", "c.evil", "g.zip#x.txt", "g.zip#y.txt", "g.zip#z.evil", "h.md"}
    assert "SIGKILL" in drops["e.evil"][1]
    assert drops["f.evil"][1].startswith("ValueError: a defect in two lines (test_hostile.py:")


def test_an_archive_of_killers_is_given_up(read, tmp_path, evil, monkeypatch):
    monkeypatch.setattr(reading, "_MEMBERS", 2)
    members = {f"{number:02d}.evil": "die" for number in range(30)}
    write(tmp_path / "in", a__zip=zipped(**members), b__md=PROSE)
    texts, drops = read()
    assert {name: reason for name, (reason, _) in drops.items()} == {"a.zip": "crashed"}
    assert set(texts) == {"b.md"}


# ── the same bytes, however it was read ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def mixed(tmp_path) -> Path:
    root = write(tmp_path / "in", a__md=f"# 一\n\n{PROSE}", b__csv="text,name\n一,x\n,y\n", c__json=b"[1]", d__bin=b"x")
    for number in range(6):
        lines = [line(text=f"{number} {at} {PROSE}") if at % 50 else b"{broken\n" for at in range(400)]
        (root / f"lines{number}.jsonl").write_bytes(b"".join(lines))
    return root


def contents(artifact) -> list[bytes]:
    return [artifact.file(name).read_bytes() for name in ("documents.jsonl", "dropped.jsonl")]


def test_the_number_of_children_and_the_size_of_pieces_change_nothing(steps, mixed, monkeypatch):
    made = []
    for count, piece, batch in ((1, 2**25, 2**19), (3, 2**25, 2**10), (2, 10_000, 2**19)):
        monkeypatch.setattr(reading, "cores", lambda count=count: count)
        monkeypatch.setattr(reading, "PIECE", piece)
        monkeypatch.setattr(reading, "BATCH", batch)
        made.append(contents(steps("data.read", paths=[mixed], seconds=100 + len(made))))
    assert made[0] == made[1] == made[2]
    assert made[0][0].count(b"\n") == 6 * 392 + 2


def test_pieces_cover_a_file_whole(mixed, monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 10_000)
    path = mixed / "lines0.jsonl"
    pieces = [piece for batch in batches(files([path], [])) for piece in batch.pieces]
    data = path.read_bytes()
    assert len(pieces) > 3
    assert b"".join(data[piece.start : piece.end] for piece in pieces) == data
    assert all(piece.line == data.count(b"\n", 0, piece.start) + 1 for piece in pieces)


def test_on_other_machines_it_is_the_same(steps, mixed, monkeypatch):
    """The parcels travel as bytes, and the files need not be there."""

    def far(work, items, track):
        shipped = [pickle.dumps(item) for item in items]
        mixed.rename(mixed.parent / "gone")
        for item in shipped:
            yield pickle.loads(pickle.dumps(work(pickle.loads(item))))
        (mixed.parent / "gone").rename(mixed)

    here = contents(steps("data.read", paths=[mixed]))
    monkeypatch.setattr(reading, "spread", far)
    with steps.store.draft("far") as draft:
        Read(ReadSettings(paths=[mixed])).run({}, draft, Track(quiet=True, on="ray"))
        assert [draft.file(name).read_bytes() for name in ("documents.jsonl", "dropped.jsonl")] == here


def test_killed_and_run_again_it_goes_on_and_ends_the_same(steps, mixed, tmp_path):
    whole = contents(steps("data.read", paths=[mixed]))
    for number in range(40):
        (mixed / f"more{number}.jsonl").write_bytes((mixed / "lines1.jsonl").read_bytes())
    script = tmp_path / "run.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from one_step import Steps

        if __name__ == "__main__":
            made = Steps(Path(sys.argv[1]))("data.read", paths=[Path(sys.argv[2])])
            print(made.path)
        """)
    )

    def start(store):
        return subprocess.Popen([sys.executable, script, tmp_path / store, mixed], stdout=subprocess.PIPE, text=True)

    undisturbed = start("one")
    killed = start("two")
    work = tmp_path / "two" / "work"
    while killed.poll() is None and not list(work.glob("*/read/*.done")):
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    kept = {path: path.stat().st_mtime_ns for path in work.glob("*/read/*.done")}
    assert kept, "it was over before it was killed"
    again = start("two")
    seen = {}
    while again.poll() is None:
        for path in kept:
            if path.exists():
                seen[path] = path.stat().st_mtime_ns
        time.sleep(0.01)
    paths = [Path(process.communicate()[0].strip()) for process in (undisturbed, again)]
    made = [[(path / name).read_bytes() for name in ("documents.jsonl", "dropped.jsonl")] for path in paths]
    assert made[0] == made[1]
    assert made[0][0].startswith(whole[0][:1000])
    assert seen
    assert all(kept[path] == changed for path, changed in seen.items()), "a batch that was kept was read again"
    assert not work.exists() or not list(work.iterdir())


def test_a_kept_result_of_another_file_is_not_used(tmp_path):
    root = write(tmp_path / "in", a__jsonl=line(text=PROSE))
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    work = reading._Work(ReadSettings(paths=[root]), str(shelf))
    (batch,) = batches(files([root], []))
    work(batch)
    assert reading._Shelf(shelf, 0).done(batch.key).documents == 1
    write(root, a__jsonl=line(text=PROSE) * 2)
    (changed,) = batches(files([root], []))
    assert reading._Shelf(shelf, 0).done(changed.key) is None
    (shelf / "0000000.documents").write_bytes(b"cut")
    assert reading._Shelf(shelf, 0).done(batch.key) is None


def test_a_full_disk_is_no_drop(tmp_path, monkeypatch):
    root = write(tmp_path / "in", a__jsonl=line(text=PROSE))
    (batch,) = batches(files([root], []))

    def full(self, result):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reading._Shelf, "write", full)
    with pytest.raises(OSError, match="No space"):
        reading._Work(ReadSettings(paths=[root]), str(tmp_path))(batch)


def test_ids_of_their_own_must_differ(steps, opened, tmp_path):
    root = write(tmp_path / "in", a__jsonl=line(text=PROSE, no="甲") + line(text=PROSE, no="乙"))
    made = opened(steps("data.read", paths=[root], id_field="no"))
    assert [document.id for document in made.documents] == ["in/a.jsonl#甲", "in/a.jsonl#乙"]
    write(root, a__jsonl=line(text=PROSE, no="甲") * 2)
    with pytest.raises(DataError, match=r"two records have the id 'in/a\.jsonl#甲'"):
        steps("data.read", paths=[root], id_field="no")


def test_the_step_says_all_its_reasons():
    """Each reason that the code can give is told in a docstring."""
    told = (sys.modules["danlu.data.readers"].__doc__ or "") + (Read.__doc__ or "")
    for reason in ("too-slow", "too-large", "crashed", "record-too-long", "not-a-file", "link-to-folder", "too-deep"):
        assert reason in told
