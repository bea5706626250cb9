"""The store: an artifact is there whole or not at all, and says what came out, not when or where."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from danlu.artifact import Artifact, Draft, Store
from danlu.errors import StorageError, storage_error

NAMES = st.text("abc丹", min_size=1, max_size=5)


def make(store: Store, id: str, files: dict[str, bytes]) -> Artifact:
    with store.draft(id) as draft:
        for name, data in files.items():
            draft.file(name).write_bytes(data)
        return store.commit(draft, {"id": id, "kind": "documents"})


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(NAMES, st.binary(max_size=40), max_size=4),
    st.dictionaries(NAMES, st.binary(max_size=40), max_size=4),
)
def test_content_is_the_files_and_nothing_else(tmp_path: Path, one: dict[str, bytes], two: dict[str, bytes]) -> None:
    store = Store(tmp_path / "store")
    first, second = make(store, "one", one), make(store, "two", two)
    assert (first.content == second.content) == (one == two)
    assert make(store, "one", one).content == first.content
    assert list((store.root / "drafts").iterdir()) == []


def test_an_unstable_folder_counts_by_its_digest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    contents = []
    for id, data, said in (("a", b"1", "same"), ("b", b"2", "same"), ("c", b"1", "other")):
        with store.draft(id) as draft:
            draft.file("lance/random").write_bytes(data)
            draft.unstable("lance", said)
            contents.append(store.commit(draft, {"id": id, "kind": "index"}).content)
    assert contents[0] == contents[1] != contents[2]


def test_verify_and_whole_see_what_changed(tmp_path: Path) -> None:
    artifact = make(Store(tmp_path), "a", {"x": b"123", "y/z": b"4"})
    assert artifact.whole()
    assert artifact.verify() == []
    artifact.file("x").write_bytes(b"abc")
    assert artifact.whole(), "the sizes are still right"
    assert artifact.verify() == ["x"]
    artifact.file("y/z").unlink()
    assert not artifact.whole()
    with pytest.raises(StorageError, match=r"y/z|z is missing"):
        artifact.file("y/z")


def test_what_was_not_committed_is_gone_and_work_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with contextlib.suppress(RuntimeError), store.draft("a") as draft:
        draft.file("half").write_bytes(b"x")
        (draft.work / "kept").write_bytes(b"y")
        raise RuntimeError
    assert list((store.root / "drafts").iterdir()) == []
    assert store.get("a") is None
    with store.draft("a") as draft:
        assert (draft.work / "kept").read_bytes() == b"y"


def test_clean_leaves_what_a_living_process_is_writing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("living.x", "dead.x"):
        (store.root / "drafts" / name).mkdir()
    code = (
        "import sys; from pathlib import Path; from danlu.artifact import Store\n"
        "with Store(Path(sys.argv[1])).lock('living', who='the other one'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    root = Path(__file__).parent.parent.parent
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    assert store.clean() == 1
    assert [path.name for path in (store.root / "drafts").iterdir()] == ["living.x"]
    told: list[str] = []
    with store.lock("living", wait=False, waiting=told.append) as free:
        assert not free
    assert told == ["the other one"]
    other.kill()
    other.communicate()
    assert store.clean() == 1, "the kernel lets go of a dead process's lock"


def test_a_leaking_funnel_is_a_defect(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="leaks"):
        Draft(tmp_path, tmp_path).funnel("documents", 10, 7, {"empty": 2})


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (OSError(28, "No space left on device", "/x"), "the disk is full"),
        (OSError(30, "Read-only file system", "/x"), "read-only"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (ValueError("(sqlite3.OperationalError) database or disk is full"), "the disk is full"),
        (OSError(27, "File too large", "/x"), "larger than the limit"),
    ],
)
def test_a_storage_error_is_seen_through_every_wrapping(error: Exception, what: str) -> None:
    wrapped = RuntimeError("native library failed")
    wrapped.__cause__ = error
    for found in (storage_error(error, "/here"), storage_error(wrapped, "/here")):
        assert found is not None
        assert what in str(found)
    assert storage_error(ValueError("something else"), "/here") is None


def test_a_damaged_manifest_names_the_folder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artifact = make(store, "a", {"x": b"1"})
    (artifact.path / "artifact.json").write_text("{")
    with pytest.raises(StorageError, match="not an artifact"):
        store.all()
