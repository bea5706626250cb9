"""How a question, its choices, its right answer and the examples before it are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from danlu.errors import DataError
from danlu.eval.harness import code, template
from danlu.eval.harness.find import Loaded
from danlu.eval.harness.read import Function
from danlu.records import Message, Role

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Turn:
    """A part of a prompt; `after` separates it from the next one in plain text."""

    role: Role
    content: str
    after: str = ""


class Writer:
    """Writes prompts as lm-evaluation-harness 0.4.13 does, byte for byte.

    `fields` are the names of a question's fields: a `doc_to_…` that is one of them stands for its value, any other
    text is a template.
    """

    def __init__(self, loaded: Loaded, fields: Sequence[str]) -> None:
        self.loaded, self.config, self.fields = loaded, loaded.config, set(fields)
        self.shots = loaded.config.fewshot_config
        self._code: dict[Function, Callable[..., Any]] = {}
        self._shown: dict[int, tuple[Row, list[Turn]]] = {}
        self.many_inputs = False
        for field in ("doc_to_text", "doc_to_target", "doc_to_choice", "description", "gen_prefix"):
            source = getattr(loaded.config, field)
            if isinstance(source, str) and source not in self.fields:
                template.check(source, field, loaded.where(field))

    def text(self, doc: Row, source: Any = None) -> str | int:
        """The question; a number where a task's inputs are its choices."""
        source = self.config.doc_to_text if source is None else source
        value = self._value(source, doc, "doc_to_text")
        if isinstance(value, Made):
            return int(value) if value.isdigit() and self.config.doc_to_choice is not None else str(value)
        return value  # type: ignore[no-any-return]

    def target(self, doc: Row, source: Any = None) -> Any:
        """The right answer: a text, the place of a choice, or a list of either."""
        source = self.config.doc_to_target if source is None else source
        value = self._value(source, doc, "doc_to_target")
        if not isinstance(value, Made):
            return value
        if value.isdigit() and self.config.doc_to_choice is not None:
            return int(value)
        if len(value) >= 2 and value[0] == "[" and value[-1] == "]":
            try:
                return template.literal(value, "doc_to_target", "")
            except DataError:
                return str(value)
        return str(value)

    def choices(self, doc: Row, source: Any = None) -> list[str]:
        """The choices."""
        source = self.config.doc_to_choice if source is None else source
        if isinstance(source, Mapping):
            return list(source.values())
        value = self._value(source, doc, "doc_to_choice")
        where = self.loaded.where("doc_to_choice")
        if isinstance(value, Made):
            value = template.literal(value, "doc_to_choice", where)
        if not isinstance(value, list) or not all(isinstance(choice, str) for choice in value):
            raise DataError(f"doc_to_choice: no list of texts: {value!r:.200}", where=where)
        return value

    def prefix(self, doc: Row, source: str | None) -> str | None:
        """What the answer begins with."""
        return None if source is None else str(self._value(source, doc, "gen_prefix", set(doc)))

    def _value(self, source: Any, doc: Row, field: str, fields: set[str] | None = None) -> Any:
        """A field's value, what the task's own Python gives, or a `Made` text from a template."""
        if isinstance(source, Function):
            return self._function(source, field)(doc)
        if not isinstance(source, str):
            return source
        if source in (self.fields if fields is None else fields):
            if source not in doc:
                raise DataError(f"{field}: this example has no field {source!r}", where=self.loaded.where(field))
            return doc[source]
        return Made(template.render(source, doc, field, self.loaded.where(field)))

    def _function(self, source: Function, field: str) -> Callable[..., Any]:
        if source not in self._code:
            if not self.loaded.trust:
                raise code.refuse(source, field)
            self._code[source] = code.load(source, field)
        return self._code[source]

    def turns(self, doc: Row, examples: Sequence[Row]) -> list[Turn]:
        """Everything before the question: the description and the examples with their answers."""
        config, found = self.config, []
        described = str(self._value(config.description, doc, "description", set(doc))) if config.description else ""
        if described:
            found.append(Turn("system", described))
        for example in examples:
            if id(example) not in self._shown:
                self._shown[id(example)] = (example, self._example(example))
            found += self._shown[id(example)][1]
        return found

    def _example(self, example: Row) -> list[Turn]:
        """An example with its answer."""
        config, shots = self.config, self.shots
        question = self.text(example, shots and shots.doc_to_text)
        has_choices = config.doc_to_choice is not None or (shots and shots.doc_to_choice)
        choices = self.choices(example, shots and shots.doc_to_choice) if has_choices else None
        answer = self.target(example, shots and shots.doc_to_target)
        start = shots.gen_prefix if shots and shots.gen_prefix is not None else config.gen_prefix
        if self.many_inputs:
            question, choices = (choices or [])[int(question)], None
        return self._pair(
            question, choices, answer, self.prefix(example, start) or "",
            _or(shots and shots.target_delimiter, config.target_delimiter),
            _or(shots and shots.fewshot_delimiter, config.fewshot_delimiter),
        )  # fmt: skip

    def contexts(self, doc: Row, examples: Sequence[Row]) -> list[list[Turn]]:
        """The whole prompt; one for each choice where the choices are inputs."""
        before, start = self.turns(doc, examples), self.prefix(doc, self.config.gen_prefix) or ""
        if self.many_inputs:
            return [before + self._question(choice, start, "") for choice in self.choices(doc)]
        return [before + self._question(self.text(doc), start, self.config.target_delimiter)]

    def _question(self, question: Any, start: str, delimiter: str) -> list[Turn]:
        self._is_text(question, "question")
        asked = Turn("user", question, delimiter if start and _apart(question, start) else "")
        return [asked, Turn("assistant", start)] if start else [asked]

    def _pair(
        self, question: Any, choices: list[str] | None, answer: Any, start: str, delimiter: str, after: str
    ) -> list[Turn]:
        """A question with its answer."""
        if answer is None or answer == "":
            return self._question(question, start, delimiter)
        self._is_text(question, "question")
        joined = delimiter if not start or _apart(question, start) else ""
        if choices and isinstance(answer, int):
            answer = choices[answer]
        elif isinstance(answer, list):
            answer = answer[0]
        self._is_text(answer, "answer")
        if start and answer:
            answer = start + (" " if _apart(start, answer) else "") + answer
        return [Turn("user", question, joined), Turn("assistant", answer, after)]

    def _is_text(self, value: Any, what: str) -> None:
        if not isinstance(value, str):
            field = "doc_to_text" if what == "question" else "doc_to_target"
            raise DataError(f"{field}: the {what} is no text: {value!r:.200}", where=self.loaded.where(field))


class Made(str):
    """A text that a template made, as opposed to a field's own value."""


def _or(value: Any, other: str) -> str:
    return other if value is None else str(value)


def _apart(first: str, second: str) -> bool:
    """Two texts that need a separator: neither has white space where they meet."""
    return first != "" and not (first[-1].isspace() or second[0].isspace())


def plain(turns: Sequence[Turn]) -> str:
    """A prompt as one text."""
    return "".join(turn.content + turn.after for turn in turns)


def messages(turns: Sequence[Turn]) -> tuple[Message, ...]:
    """A prompt as a conversation."""
    return tuple(Message(role=turn.role, content=turn.content) for turn in turns)
