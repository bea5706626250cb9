"""Compound files (OLE2), Word documents and Outlook messages, made by hand."""

from __future__ import annotations

import struct
import zlib

_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_NONE = 0xFFFFFFFF


def ole(streams: dict[str, bytes]) -> bytes:
    """A compound file of version 3 ([MS-CFB]) with these streams; `/` parts storages."""
    entries: list[list] = [["Root Entry", 5, [], b""]]
    at = {"": 0}
    for path, data in streams.items():
        folder, _, name = path.rpartition("/")
        for depth in range(folder.count("/") + 1 if folder else 0):
            inner = "/".join(folder.split("/")[: depth + 1])
            if inner not in at:
                at[inner] = len(entries)
                entries[at[inner.rpartition("/")[0]]][2].append(len(entries))
                entries.append([inner.rpartition("/")[2], 1, [], b""])
        entries[at[folder]][2].append(len(entries))
        entries.append([name, 2, [], data])
    fat: list[int] = []
    mini, minifat = bytearray(), []
    sectors = bytearray()

    def chain(data: bytes, unit: int, table: list[int], body: bytearray) -> int:
        count = -(-len(data) // unit)
        if not count:
            return _END
        start = len(table)
        table += [*range(start + 1, start + count), _END]
        body += data.ljust(count * unit, b"\0")
        return start

    places = []
    for _, kind, _, data in entries:
        small = kind == 2 and len(data) < 4096
        places.append(chain(data, 64, minifat, mini) if small else chain(data, 512, fat, sectors))
    places[0] = chain(bytes(mini), 512, fat, sectors)
    minis = chain(
        struct.pack(f"<{len(minifat)}I", *minifat).ljust(-(-len(minifat) // 128) * 512, b"\xff"), 512, fat, sectors
    )
    folder = b""
    for number, (name, kind, children, data) in enumerate(entries):
        raw = name.encode("utf-16-le")
        siblings = next((below for _, _, below, _ in entries if number in below), [])
        after = siblings[siblings.index(number) + 1] if siblings and siblings[-1] != number else _NONE
        size = len(mini) if not number else len(data)
        folder += raw.ljust(64, b"\0") + struct.pack(
            "<HBBIII36xIQ",
            len(raw) + 2,
            kind,
            1,
            _NONE,
            after,
            children[0] if children else _NONE,
            places[number],
            size,
        )
    first = chain(folder, 512, fat, sectors)
    needed = 1
    while (len(fat) + needed) > needed * 128:
        needed += 1
    tables = [len(fat) + number for number in range(needed)]
    fat += [_FAT] * needed
    sectors += struct.pack(f"<{len(fat)}I", *fat).ljust(needed * 512, b"\xff")
    head = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6,
        0, needed, first, 0, 4096, minis, len(minifat) and -(-len(minifat) // 128), _END, 0,
    )  # fmt: skip
    return head + struct.pack("<109I", *tables, *[_FREE] * (109 - needed)) + bytes(sectors)


def doc(*paragraphs: tuple[str, int, bool, bool], narrow: str = "", notes: str = "", flags: int = 0x200) -> bytes:
    """A Word document of (text with its mark, style, in a table, end of a row); `narrow` before them in 8 bits."""
    wide = "".join(text for text, *_ in paragraphs) + notes
    count = len(narrow) + len(wide.encode("utf-16-le")) // 2
    head, start = 0x400, 0x800
    first = narrow.encode("cp1252")
    after = start + len(first)
    ends, looks = ([after], [(0, False, False)]) if narrow else ([], [])
    at = after
    for text, *look in paragraphs:
        at += len(text.encode("utf-16-le"))
        ends.append(at)
        looks.append(tuple(look))
    page = bytearray(512)
    struct.pack_into(f"<{len(ends) + 1}I", page, 0, start, *ends)
    place = 500
    for number, (style, table, row) in enumerate(looks):
        held = struct.pack("<H", style) + (b"\x16\x24\x01" if table else b"") + (b"\x17\x24\x01" if row else b"")
        held += b"\0" * ((len(held) + 1) % 2)
        place = (place - len(held) - 1) & ~1
        page[place] = (len(held) + 1) // 2
        page[place + 1 : place + 1 + len(held)] = held
        page[4 * (len(ends) + 1) + 13 * number] = place // 2
    page[511] = len(ends)
    marks = [0, len(narrow), count] if narrow else [0, count]
    places = ([start * 2 | 0x40000000] if narrow else []) + [after]
    pieces = struct.pack(f"<{len(marks)}I", *marks) + b"".join(struct.pack("<HIH", 0, place, 0) for place in places)
    clx = b"\x01\x02\x00\xab\xcd\x02" + struct.pack("<I", len(pieces)) + pieces
    papx = struct.pack("<III", start, ends[-1], head // 512)
    fib = bytearray(head)
    struct.pack_into("<HHxxxxxxH", fib, 0, 0xA5EC, 0xC1, flags)
    struct.pack_into("<7i", fib, 0x4C, count - len(notes), len(notes), 0, 0, 0, 0, 0)
    struct.pack_into("<II", fib, 0x1A2, 0, len(clx))
    struct.pack_into("<II", fib, 0x102, len(clx), len(papx))
    body = bytes(fib) + bytes(page) + bytes(start - head - 512) + first + wide.encode("utf-16-le")
    return ole({"WordDocument": body, "1Table": clx + papx})


def message(
    texts: dict[int, str | bytes], sent: int = 0, page: int = 950, prefix: str = "", header: int = 32
) -> dict[str, bytes]:
    """The streams of an Outlook message; texts in Unicode, bytes in its code page."""
    fixed = bytes(header) + struct.pack("<HHIQ", 3, 0x3FFD, 6, page)
    fixed += struct.pack("<HHIQ", 0x40, 0x39, 6, sent) if sent else b""
    found = {f"{prefix}__properties_version1.0": fixed}
    for tag, text in texts.items():
        kind = "001F" if isinstance(text, str) else "001E" if tag not in (0x1009, 0x1013) else "0102"
        data = text.encode("utf-16-le") if isinstance(text, str) else text
        found[f"{prefix}__substg1.0_{tag:04X}{kind}"] = data
    return found


def attachment(number: int, name: str, data: bytes, prefix: str = "") -> dict[str, bytes]:
    inner = f"{prefix}__attach_version1.0_#{number:08X}/"
    return {
        f"{inner}__properties_version1.0": bytes(8),
        f"{inner}__substg1.0_3707001F": name.encode("utf-16-le"),
        f"{inner}__substg1.0_37010102": data,
    }


def rar(files: dict[str, bytes], flags: int = 0) -> bytes:
    """A RAR 3 archive whose members are only stored."""

    def block(kind: int, flags: int, body: bytes) -> bytes:
        held = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", zlib.crc32(held) & 0xFFFF) + held

    out = b"Rar!\x1a\x07\x00" + block(0x73, 0, bytes(6))
    for name, data in files.items():
        raw = name.encode()
        told = struct.pack(
            "<IIBIIBBHI", len(data), len(data), 3, zlib.crc32(data), 0x58000000, 29, 0x30, len(raw), 0o100644
        )
        out += block(0x74, 0x8000 | flags, told + raw) + data
    return out + block(0x7B, 0x4000, b"")
