"""data.pii: personal data and secrets masked, replaced by stand-ins, or the document dropped, by type."""

from __future__ import annotations

import os
import re
import secrets
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from danlu.artifact import Artifact, Draft
from danlu.data.flow import Each, Tally
from danlu.errors import DataError, UsageError, nearest
from danlu.records import Document, Drop
from danlu.registry import From, Settings
from danlu.text import credentials, pii
from danlu.text.pii import Hit
from danlu.text.pseudonym import canonical, fingerprint, pseudonym
from danlu.track import Track

Action = Literal["mask", "partial", "pseudonymise", "drop", "keep"]

LABELS = pii.LABELS | credentials.LABELS
KEY = "DANLU_PSEUDONYM_KEY"
_SPANS = ("pages", "slides", "sheets")
_HEADS = {"name": 1, "address": 3, "birth-date": 4, "line-id": 1}
_TAIL = 3
_ROUNDS = 4
_MASK = re.compile(f"〔(?:{'|'.join(map(re.escape, LABELS.values()))}|presidio-[a-z0-9-]+)〕")


class PiiSettings(Settings):
    documents: Annotated[str, From("documents")]
    """The step that made the documents."""

    default: Action = "mask"
    """What is done with a type that `actions` does not name. mask: 〔手機號碼〕 in its place; partial: all but the last
    three characters hidden (of names, addresses, birth dates and LINE all but the first); pseudonymise: a stand-in of
    the same form, the same for the same value; drop: the document is left out; keep: counted only."""

    actions: Annotated[dict[str, Action], Field(default_factory=dict)]
    """What is done with a type: national-id, mobile, email …, secret-aws …; `secret` stands for all secrets."""

    allow: tuple[str, ...] = ()
    """Values that stay, however they are written: an office's own telephone number or e-mail address."""

    presidio: tuple[str, ...] = ()
    """Pattern recognisers of Presidio to ask as well, by the names of their classes (IbanRecognizer, CryptoRecognizer,
    UsSsnRecognizer …); what they find has the type presidio-iban-code and so on."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = [*LABELS, "secret"]
        for type, action in self.actions.items():
            if type not in known and not type.startswith("presidio-"):
                close = nearest(type, known)
                raise ValueError(f"actions: unknown type {type!r}" + (f"; did you mean {close!r}?" if close else ""))
            if type.startswith("secret") and action in ("partial", "pseudonymise"):
                raise ValueError(f"actions: {type} cannot be {action!r}: mask, drop or keep a secret")
        return self


class Pii(Each[PiiSettings]):
    """Looks for Taiwan's personal data (`danlu.text.pii`) and for secrets (`danlu.text.credentials`) in the text, the
    title and the strings of `meta`, and does what `actions` says. Documents are dropped as `personal-data` or `secret`,
    with the types and how many. What was found is counted by type; no value goes into the artifact, a drop, an error or
    the log. The spans of pages, slides and sheets stay right. Run on its own output, the step changes nothing.

    Stand-ins are made with a key (`danlu.text.pseudonym`): DANLU_PSEUDONYM_KEY, or else a file made once,
    ~/.config/danlu/pseudonym.key, readable for its owner alone. The key is in no artifact and no part of the step's
    identity: after a change of the key run with --force. The report shows its fingerprint.

    Not covered: what those two modules do not cover; `id` and `source`, which other records point at: documents whose
    id or source holds something are counted, rename those files. Masked text is pseudonymous at best: who a person is
    may still follow from what is said.
    """

    Settings = PiiSettings
    label = "pii"
    hint = "set `mask` instead of `drop` in data.pii"
    key: bytes = b""

    def prepare(self, source: Artifact, track: Track) -> None:
        if self.settings.presidio:
            from danlu.data.presidio import recognizers

            recognizers(self.settings.presidio)
        if "pseudonymise" in (self.settings.default, *self.settings.actions.values()):
            self.key = key()

    def judge(self, document: Document, tally: Tally) -> Document | Drop:
        found: Counter[str] = Counter()
        text, moves = self.redact(document.text, found)
        title = self.redact(document.title, found)[0]
        meta = {name: self._inside(value, found) for name, value in document.meta.items()}
        for name in _SPANS:
            if isinstance(meta.get(name), list):
                meta[name] = [[*span[:-2], _through(moves, span[-2]), _through(moves, span[-1])] for span in meta[name]]
        tally.counts.update({f"found {type}": count for type, count in found.items()})
        tally.counts.update({f"in {type}": 1 for type in found})
        tally.counts["named"] += any(self._hits(name) for name in {document.id, document.source})
        fatal = {type: count for type, count in sorted(found.items()) if self.action(type) == "drop"}
        if fatal:
            reason = "secret" if all(type.startswith("secret-") for type in fatal) else "personal-data"
            detail = ", ".join(f"{type} {count}" for type, count in fatal.items())
            return Drop(id=document.id, source=document.source, reason=reason, detail=detail)
        if not found:
            return document
        return document.model_copy(update={"text": text, "title": title, "meta": meta})

    def finish(self, out: Draft, tally: Tally) -> None:
        types = sorted(name.removeprefix("found ") for name in tally.counts if name.startswith("found "))
        rows = [
            [type, LABELS.get(type, type), self.action(type), tally.counts[f"found {type}"], tally.counts[f"in {type}"]]
            for type in types
        ]
        out.table("Personal data and secrets", ["type", "what", "action", "found", "in documents"], rows)
        out.metrics["found"] = sum(tally.counts[f"found {type}"] for type in types)
        if self.key:
            out.text("Stand-ins", f"made with the key whose fingerprint is {fingerprint(self.key)}")
        if tally.counts["named"]:
            out.text(
                "Names of documents",
                f"{tally.counts['named']} documents hold personal data or a secret in their id or source, which stay. "
                "Rename the files and read them again.",
            )

    def action(self, type: str) -> Action:
        """What is done with a type. A secret is never shown in part nor given a stand-in: it is masked."""
        secret = type.startswith("secret-")
        action = self.settings.actions.get(type, self.settings.actions.get("secret") if secret else None)
        if action:
            return action
        return "mask" if secret and self.settings.default in ("partial", "pseudonymise") else self.settings.default

    def redact(self, text: str, found: Counter[str]) -> tuple[str, list[Edits]]:
        """The text with everything replaced, and the edits in their order; what was found is counted in `found`.

        A text with stand-ins or with parts of the values in it is looked at again until nothing is found.
        """
        moves: list[Edits] = []
        hits = self._hits(text)
        found.update(hit.type for hit in hits)
        while acted := [hit for hit in hits if self.action(hit.type) not in ("keep", "drop")]:
            settled = len(moves) >= _ROUNDS
            edits = Edits(acted, [self._instead(hit, text[hit.start : hit.end], settled) for hit in acted])
            text = edits.made(text)
            moves.append(edits)
            hits = self._hits(text)
            found.update(hit.type for hit in hits if self.action(hit.type) not in ("keep", "drop"))
        return text, moves

    def _hits(self, text: str) -> list[Hit]:
        return everywhere(text, self.settings.presidio, self.settings.allow)

    def _instead(self, hit: Hit, value: str, settled: bool) -> str:
        action = "mask" if settled else self.action(hit.type)
        if action == "pseudonymise":
            return pseudonym(hit.type, value, self.key)
        return partial(hit.type, value) if action == "partial" else mask(hit.type)

    def _inside(self, value: Any, found: Counter[str]) -> Any:
        """A value of `meta` with its strings redacted, lists and objects gone through."""
        if isinstance(value, str):
            return self.redact(value, found)[0]
        if isinstance(value, list):
            return [self._inside(item, found) for item in value]
        if isinstance(value, dict):
            return {name: self._inside(item, found) for name, item in value.items()}
        return value


class Edits:
    """Stretches of a text and what stands there instead; `place` is where a place of the old text is in the new one."""

    def __init__(self, hits: Sequence[Hit], instead: Sequence[str]) -> None:
        self.hits, self.instead = hits, instead
        self.starts = [hit.start for hit in hits]
        grown = (len(new) - (hit.end - hit.start) for hit, new in zip(hits, instead, strict=True))
        self.shifts = [0, *accumulate(grown)]

    def made(self, text: str) -> str:
        pieces, at = [], 0
        for hit, new in zip(self.hits, self.instead, strict=True):
            pieces += [text[at : hit.start], new]
            at = hit.end
        return "".join([*pieces, text[at:]])

    def place(self, old: int) -> int:
        """Inside of a replaced stretch: its end."""
        before = bisect_left(self.starts, old)
        inside = max(0, self.hits[before - 1].end - old) if before else 0
        return old + inside + self.shifts[before]

    def before(self, new: int) -> int:
        """The place of the old text that `place` takes to `new`, which lies in nothing that was put in."""
        known = [start + shift for start, shift in zip(self.starts, self.shifts, strict=False)]
        return new - self.shifts[bisect_right(known, new - 1)]


def _through(moves: Iterable[Edits], place: int) -> int:
    for edits in moves:
        place = edits.place(place)
    return place


def everywhere(text: str, presidio: tuple[str, ...] = (), allow: tuple[str, ...] = ()) -> list[Hit]:
    """What there is in `text` to be masked, in order and without overlap: what the step and `danlu data pii` find.

    It is looked at again with everything found masked, until nothing more shows: a hit may have stood between another
    one and the word beside it. Values in `allow` are left out, however they are written.
    """
    found: list[Hit] = []
    moves: list[Edits] = []
    now = text
    while True:
        hits = [
            hit for hit in report(now, presidio) if not (allow and _allowed(hit.type, now[hit.start : hit.end], allow))
        ]
        if not hits:
            return pii.apart(found) if moves[1:] else found
        found += [_traced(hit, moves) for hit in hits]
        moves.append(Edits(hits, [mask(hit.type) for hit in hits]))
        now = moves[-1].made(now)


def _traced(hit: Hit, moves: Sequence[Edits]) -> Hit:
    """A hit in the text after `moves`, as it stands in the text before them."""
    start, end = hit.start, hit.end
    for edits in reversed(moves):
        start, end = edits.before(start), edits.before(end)
    return hit._replace(start=start, end=end)


def parts(text: str, title: str, meta: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(where, string) of everything in a document that the step looks into: "", "title", "meta.author" …"""
    yield "", text
    yield "title", title
    yield from _strings("meta", meta)


def _strings(where: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(where, item)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _strings(f"{where}.{name}", item)


def report(text: str, presidio: tuple[str, ...] = ()) -> list[Hit]:
    """Personal data and secrets in `text`, in order and without overlap; with Presidio's recognisers of these names.
    Masks (〔手機號碼〕) are nothing, and their words announce nothing.
    """
    if "〔" in text:
        text = _MASK.sub(lambda found: "。" * len(found[0]), text)
    found = [*pii.report(text), *credentials.report(text)]
    if presidio:
        from danlu.data.presidio import hits

        found += hits(text, presidio)
    return pii.apart(found)


def mask(type: str) -> str:
    return f"〔{LABELS.get(type, type)}〕"


def partial(type: str, value: str) -> str:
    """All letters and digits but the last three hidden; of names, addresses and birth dates all but the first ones."""
    head = _HEADS.get(type, 0)
    shown = range(head) if head else range(max(0, len(value) - _TAIL), len(value))
    return "".join(c if at in shown or not c.isalnum() else "＊" for at, c in enumerate(value))


def _allowed(type: str, value: str, allow: tuple[str, ...]) -> bool:
    if type not in pii.LABELS:
        return value in allow
    one = canonical(type, value)
    return any(one == canonical(type, other) for other in allow)


def key() -> bytes:
    """The key of the stand-ins: from the environment, or else from the user's own file, made when it is not there."""
    given = os.environ.get(KEY, "")
    if given:
        if len(given) < 16:
            raise UsageError(f"{KEY} is shorter than 16 characters", next=f"export {KEY}=$(openssl rand -hex 32)")
        return given.encode()
    path = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "danlu" / "pseudonym.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    kept = path.read_text(encoding="utf-8").strip()
    if len(kept) < 16:
        raise DataError("the key of the stand-ins is too short", where=str(path), next="remove the file")
    return kept.encode()
