"""data.prefer: preferences from ranked or scored answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from danlu.artifact import Artifact, Draft
from danlu.data.examples import named, roots, taiwan
from danlu.data.flow import encoded
from danlu.data.formats import files
from danlu.data.formats.fields import Fault, Fields, content_id, kind, wrong_turns
from danlu.data.formats.messages import messages_of
from danlu.data.rankings import PairSettings, Scored, chosen
from danlu.errors import DataError
from danlu.records import Drop, Message, Preference
from danlu.registry import Source, Step
from danlu.track import Track

_PROMPTS = ("prompt", "instruction", "question", "messages")
_ANSWERS = ("answers", "completions", "responses")
_TEXTS = ("text", "content", "response", "answer", "completion")
_SCORES = ("score", "overall_score", "rating")


class PreferSettings(PairSettings):
    paths: Annotated[tuple[Path, ...], Source()]
    """JSON and JSONL files of ranked answers, or folders of them."""

    to_taiwan: bool = False
    """Convert prompts and answers to Taiwan's characters and words; code stays."""

    licence: str = "unknown"
    """The licence of these records, carried by every artifact made from them."""


class Prefer(Step[PreferSettings]):
    """A record is a prompt (a text, or messages) with answers: objects with a score or a rank, texts with a list of
    `scores` beside them, or texts alone, the best first::

        {"prompt": "…", "answers": [{"text": "…", "score": 4}, {"text": "…", "score": 1}]}
        {"prompt": [{"role": "user", "content": "…"}], "answers": ["…", "…"], "scores": [4, 1]}
        {"instruction": "…", "completions": [{"response": "…", "overall_score": 4}, …]}

    Of pairs, `meta` holds both scores and their difference (`chosen_score`, `rejected_score`, `margin`). Drops, with
    file and line: `tie` (no two answers differ in score by `margin`), `one-answer`, `same-answers`, and faults as in
    data.examples: `broken-json`, `missing-field`, `wrong-type`, `empty`, `turn-order`, ….
    """

    Settings = PreferSettings
    makes = "preferences"

    def run(self, inputs: Mapping[str, Artifact], out: Draft, track: Track) -> None:
        reasons: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        bar = track.bar("prefer", None, unit="record")
        with out.file("preferences.jsonl").open("wb") as lines, out.file("dropped.jsonl").open("wb") as dropped:
            for path, source in named(self.settings.paths):
                for raw in files.records(path):
                    place = f"{source}:{raw.line}"
                    found, faults = ([], [raw.fault]) if raw.fault else self.pairs(raw.value, place, counts)
                    lines.writelines(map(encoded, found))
                    counts["records"] += bool(found)
                    counts["pairs"] += len(found)
                    if not found:
                        detail = "; ".join(map(str, faults[:5]))
                        dropped.write(encoded(Drop(id=place, source=place, reason=faults[0].reason, detail=detail)))
                        reasons[faults[0].reason] += 1
                    bar.update(1)
        bar.close()
        came = counts["records"] + reasons.total()
        if not counts["pairs"]:
            told = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items())) or "no record"
            raise DataError(f"no pair could be made of {came} records: {told}", next="danlu ls --steps data.prefer")
        for _, source in roots(self.settings.paths):
            out.licences[source] = {"licence": self.settings.licence, "terms": ""}
        out.funnel("prefer", came, counts["records"], dict(sorted(reasons.items())), unit="records")
        out.metrics.update(preferences=counts["pairs"], terms=counts["terms"])

    def pairs(self, record: Any, place: str, counts: Counter[str]) -> tuple[list[Preference], list[Fault]]:
        """The preferences of one record, or why there is none."""
        if not isinstance(record, dict):
            return [], [Fault("not-an-object", "", f"an object is wanted, not {kind(record)}")]
        fields = Fields(record)
        prompt = asked(fields)
        answers = answered(fields)
        if not fields.faults and (fault := wrong_turns(prompt, ("user", "tool"))):
            fields.faults.append(fault)
        if fields.faults:
            return [], fields.faults
        if self.settings.to_taiwan:
            prompt = [one.model_copy(update={"content": taiwan(one.content, counts)}) for one in prompt]
            answers = [Scored(taiwan(one.answer, counts), one.score) for one in answers]
        found = [preference(prompt, *pair, place, fields.rest) for pair in chosen(answers, self.settings)]
        if found:
            return found, []
        different = len({one.answer for one in answers})
        reason = "one-answer" if len(answers) < 2 else "same-answers" if different < 2 else "tie"
        return [], [Fault(reason, "", f"{len(answers)} answers, {different} different")]


def preference(
    prompt: list[Message], better: Scored, worse: Scored, source: str, meta: Mapping[str, Any], method: str = "ranking"
) -> Preference:
    """The pair as a record, with its scores."""
    scores = {
        "chosen_score": better.score,
        "rejected_score": worse.score,
        "margin": round(better.score - worse.score, 6),
    }
    made = Preference(
        id="",
        prompt=prompt,
        chosen=better.answer,
        rejected=worse.answer,
        method=method,
        source=source,
        meta={**meta, **scores},
    )
    return made.model_copy(update={"id": content_id(made)})


def asked(fields: Fields) -> list[Message]:
    """The prompt of a record: messages, or a text that the user says after the system's."""
    name = next((name for name in _PROMPTS if name in fields.rest), "prompt")
    if isinstance(fields.rest.get(name), list):
        return messages_of(fields, name)
    system = fields.text("system", required=False)
    before = [Message(role="system", content=system)] if system.strip() else []
    return [*before, Message(role="user", content=fields.text(name))]


def answered(fields: Fields) -> list[Scored]:
    """The answers of a record with their scores, in the order of the file."""
    name = next((name for name in _ANSWERS if name in fields.rest), "answers")
    given = fields.items(name)
    scores = fields.items("scores", required=False)
    if scores and len(scores) != len(given):
        fields.fault("wrong-type", "scores", f"{len(scores)} scores for {len(given)} answers")
        return []
    found: list[Scored] = []
    for at, one in enumerate(given):
        text, score = _taken(one)
        score = scores[at] if scores else -float(at) if score is None and isinstance(one, str) else score
        if not isinstance(text, str) or not text.strip():
            fields.fault("empty" if text == "" else "wrong-type", f"{name}.{at + 1}", "a text is wanted")
        elif isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
            fields.fault("wrong-type", f"{name}.{at + 1}", "a score is wanted, a finite number")
        else:
            found.append(Scored(text, float(score)))
    return found


def _taken(answer: Any) -> tuple[Any, Any]:
    """(text, score) of an answer; a rank counts from the best, 1, down."""
    if not isinstance(answer, dict):
        return answer, None
    text = next((answer[name] for name in _TEXTS if name in answer), None)
    score = next((answer[name] for name in _SCORES if name in answer), None)
    if score is None and isinstance(answer.get("rank"), (int, float)) and not isinstance(answer["rank"], bool):
        score = -answer["rank"]
    return text, score
