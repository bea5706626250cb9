"""Small files of every format, made by hand, so that each part of them can be bent."""

from __future__ import annotations

import io
import zipfile
import zlib

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_P = "http://schemas.openxmlformats.org/presentationml/2006/main"
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_M = "http://schemas.openxmlformats.org/officeDocument/2006/math"
_CORE = (
    "<p:coreProperties xmlns:p='http://schemas.openxmlformats.org/package/2006/metadata/core-properties'"
    " xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:t='http://purl.org/dc/terms/'>{}</p:coreProperties>"
)


def zipped(files: dict[str, bytes | str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def relations(**targets: str) -> str:
    """id → "kind target" """
    rows = "".join(
        f"<Relationship Id='{id}' Type='{_R}/{told.split()[0]}' Target='{told.split()[1]}'/>"
        for id, told in targets.items()
    )
    return f"<Relationships xmlns='http://schemas.openxmlformats.org/package/2006/relationships'>{rows}</Relationships>"


def office(main: str, root: str, core: str = "", **parts: str) -> bytes:
    """A package whose main part lies at `main`; names of parts with `__` for `/` and the suffix .xml."""
    files: dict[str, bytes | str] = {
        "_rels/.rels": relations(a=f"officeDocument {main}", b="core-properties docProps/core.xml"),
        main: _XML + root,
        "docProps/core.xml": _XML + _CORE.format(core),
    }
    for name, part in parts.items():
        files[name.replace("__", "/") + (".rels" if "_rels" in name else ".xml")] = part
    return zipped(files)


def docx(body: str, core: str = "", head: str = "", **parts: str) -> bytes:
    kinds = {f"r{at}": f"{name} {name}.xml" for at, name in enumerate(parts)}
    root = f"{head}<w:document xmlns:w='{_W}' xmlns:m='{_M}' xmlns:mc='urn:mc'><w:body>{body}</w:body></w:document>"
    named = {f"word__{name}": part.replace("<w:", f"<w:x xmlns:w='{_W}'><w:", 1) for name, part in parts.items()}
    named = {name: part + "</w:x>" for name, part in named.items()}
    return office("word/document.xml", root, core, **named, **{"word___rels__document.xml": relations(**kinds)})


def p(text: str, style: str = "", num: str = "") -> str:
    style = f"<w:pStyle w:val='{style}'/>" if style else ""
    if num:
        id, level = num.split("/")
        style += f"<w:numPr><w:ilvl w:val='{level}'/><w:numId w:val='{id}'/></w:numPr>"
    return f"<w:p><w:pPr>{style}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def pptx(*slides: str, core: str = "", hidden: tuple[int, ...] = (), **parts: str) -> bytes:
    """Slides by the XML of their shapes."""
    ids = "".join(f"<p:sldId id='{256 + at}' r:id='r{at}'/>" for at in range(len(slides)))
    root = f"<p:presentation xmlns:p='{_P}' xmlns:r='{_R}'><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"
    more = {"ppt___rels__presentation.xml": relations(**{f"r{at}": f"slide s{at}.xml" for at in range(len(slides))})}
    for at, shapes in enumerate(slides):
        show = " show='0'" if at in hidden else ""
        tree = f"<p:cSld><p:spTree>{shapes}</p:spTree></p:cSld>"
        more[f"ppt__s{at}"] = f"<p:sld xmlns:p='{_P}' xmlns:a='{_A}' xmlns:r='{_R}'{show}>{tree}</p:sld>"
    return office("ppt/presentation.xml", root, core, **more, **parts)


def shape(*paragraphs: str, kind: str = "") -> str:
    place = f"<p:nvPr><p:ph type='{kind}'/></p:nvPr>" if kind else "<p:nvPr/>"
    body = "".join(
        text if text.startswith("<a:p>") else f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p>" for text in paragraphs
    )
    return f"<p:sp><p:nvSpPr>{place}</p:nvSpPr><p:txBody>{body}</p:txBody></p:sp>"


def odf(body: str, kind: str = "text", styles: str = "", meta: str = "") -> bytes:
    spaces = " ".join(
        f"xmlns:{name}='urn:oasis:names:tc:opendocument:xmlns:{name}:1.0'"
        for name in ("office", "text", "table", "style", "draw", "presentation", "meta")
    )
    content = (
        f"<office:document-content {spaces}><office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    dc = "xmlns:dc='http://purl.org/dc/elements/1.1/'"
    told = f"<office:document-meta {spaces} {dc}><office:meta>{meta}</office:meta></office:document-meta>"
    return zipped({"mimetype": "", "content.xml": _XML + content, "meta.xml": _XML + told})


def epub(chapters: dict[str, str], meta: str = "", **files: str) -> bytes:
    items = "".join(
        f"<item id='c{at}' href='{name}' media-type='application/xhtml+xml'/>" for at, name in enumerate(chapters)
    )
    spine = "".join(f"<itemref idref='c{at}'/>" for at in range(len(chapters)))
    package = (
        "<package xmlns='http://www.idpf.org/2007/opf' xmlns:dc='http://purl.org/dc/elements/1.1/'>"
        f"<metadata>{meta}</metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        "<container xmlns='urn:oasis:names:tc:opendocument:xmlns:container'>"
        "<rootfiles><rootfile full-path='OEBPS/book.opf'/></rootfiles></container>"
    )
    held: dict[str, bytes | str] = {"META-INF/container.xml": container, "OEBPS/book.opf": package}
    held |= {f"OEBPS/{name}": text for name, text in chapters.items()}
    return zipped(held | {name.replace("__", "/") + ".xml": text for name, text in files.items()})


def pdf(*contents: bytes, more: list[bytes] | None = None, info: str = "", packed: bool = True) -> bytes:
    """Pages by their drawing, with Helvetica as /F1; `more` are further objects, which nothing refers to."""
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(contents)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(contents)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for at, content in enumerate(contents):
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * at} 0 R"
        objects.append(f"{page} /Resources << /Font << /F1 3 0 R >> >> >>".encode())
        data = zlib.compress(content) if packed else content
        filter = "/Filter /FlateDecode" if packed else ""
        objects.append(f"<< /Length {len(data)} {filter} >>\nstream\n".encode() + data + b"\nendstream")
    objects += [f"<< {info} >>".encode(), *(more or [])]
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    tail = b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return bytes(out + tail % (len(objects) + 1, 4 + 2 * len(contents), start))


def said(text: str, x: int = 72, y: int = 720) -> bytes:
    return f"BT /F1 12 Tf {x} {y} Td ({text}) Tj ET\n".encode()


BOMB = "<!DOCTYPE x [<!ENTITY a0 'lol'>" + "".join(f"<!ENTITY a{at + 1} '{f'&a{at};' * 10}'>" for at in range(9)) + "]>"
"""A billion laughs, once `&a9;` is written behind it."""
