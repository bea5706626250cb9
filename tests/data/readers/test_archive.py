"""Archives: what is safe comes out as it went in; every trick is refused with its reason, before it is unpacked."""

import contextlib
import io
import stat
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danlu.data.readers import Unreadable
from danlu.data.readers.archive import Archive

NAMES = st.text("abc甲乙._-", min_size=1, max_size=8).filter(lambda name: name.strip(".") == name)


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def refused(data: bytes, **limits: int) -> str:
    with pytest.raises(Unreadable) as error:
        Archive(data, **limits)
    return error.value.reason


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=99), max_size=5), st.sampled_from([0, 8]))
def test_what_was_packed_comes_out(files, method):
    with Archive(packed(files, method)) as archive:
        assert {member.name: archive.read(member.name) for member in archive.members()} == files
        assert archive.names() == list(files)


def test_a_path_is_read_like_bytes(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(packed({"文/a.txt": b"x" * 9, "文/": b""}))
    with Archive(path) as archive:
        assert archive.names() == ["文/a.txt"]
        assert archive.read("文/a.txt") == b"x" * 9
        assert "b" not in archive
        with pytest.raises(Unreadable, match="no such member"):
            archive.read("b")


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", r"..\a", r"C:\a", "C:/a", "a\nb", " "])
def test_names_that_lead_out_are_refused_and_the_others_are_read(name):
    archive = Archive(packed({name: b"x", "good.txt": b"y"}))
    assert [member.reason for member in archive.members()] == ["unsafe-name", ""]
    assert archive.read("good.txt") == b"y"
    bad = next(archive.members()).name
    with pytest.raises(Unreadable) as error:
        archive.read(bad)
    assert error.value.reason == "unsafe-name"


def test_links_encrypted_members_twins_and_odd_methods_are_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("twin", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("twin", "2")
        archive.writestr("squeezed", "3", zipfile.ZIP_BZIP2)
        archive.writestr("locked", "4")
    data = bytearray(out.getvalue())
    locked = data.rindex(b"PK\x01\x02")
    data[locked + 8] |= 1
    archive = Archive(bytes(data))
    assert [member.reason for member in archive.members()] == [
        "unsafe-name", "", "broken-zip", "broken-zip", "encrypted"
    ]  # fmt: skip
    assert archive.read("twin") == b"1"


def test_bombs_are_refused_before_they_are_unpacked():
    zeros = bytes(1 << 25)
    bomb = packed({"bomb.xml": zeros, "small.txt": b"x"})
    archive = Archive(bomb)
    assert [member.reason for member in archive.members()] == ["zip-bomb", ""]
    assert refused(bomb, total=1 << 20) == "zip-bomb"
    assert refused(packed({str(at): b"" for at in range(30)}), members=20) == "zip-bomb"
    large = Archive(packed({"a": b"x" * 100}, 0), largest=99)
    assert [member.reason for member in large.members()] == ["zip-bomb"]


def test_members_that_share_their_bytes_are_refused():
    data = bytearray(packed({"a": b"x" * 1000, "b": b"y" * 1000}, 0))
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    assert refused(bytes(data)) == "zip-bomb"


def test_a_member_that_is_more_than_it_declares_is_not_unpacked():
    data = bytearray(packed({"a": bytes(1 << 22)}))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    with pytest.raises(Unreadable) as error:
        Archive(bytes(data)).read("a")
    assert error.value.reason == "broken-zip"


def test_a_directory_that_claims_to_be_huge_is_refused():
    data = bytearray(packed({"a": b"x"}))
    end = data.rindex(b"PK\x05\x06")
    data[end + 12 : end + 16] = struct.pack("<I", 1 << 31)
    assert refused(bytes(data)) in ("broken-zip", "zip-bomb")


def test_names_in_the_code_page_of_taiwan():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("placeholder0.txt", "x")
    raw = "會議紀錄資料.txt".encode("big5")
    data = out.getvalue().replace(b"placeholder0.txt", raw)
    assert Archive(data).names() == ["會議紀錄資料.txt"]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_is_one_clear_reason(data):
    whole = packed({"a.txt": b"hello " * 50, "b/c.txt": "內容".encode() * 20})
    raw = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for damaged in (bytes(raw), whole[:cut]):
        with contextlib.suppress(Unreadable), Archive(damaged) as archive:
            for name in archive.names():
                archive.read(name)
