"""The errors a user can meet, and the exit code of each.

The tree::

    DanluError                 1   anything that is the user's to mend, told in one message
    ├── UsageError             2   the command line is off
    ├── RecipeError            2   the recipe is off; carries every problem found, not only the first
    ├── MissingExtra           3   an optional library is not installed
    ├── GateError              4   a check between steps failed; carries the figures
    ├── StorageError           5   disk full, unwritable or read-only folder, damaged artifact
    ├── DataError              6   a file or record cannot be read as what it says it is
    ├── ModelError             7   a model, tokenizer, template or adapter cannot be used
    └── EndpointError          8   an HTTP endpoint refused, timed out or answered nonsense

Each message says *what* happened, *where* (file, line, field), the *nearest* valid thing and the *next* command.
Anything else that escapes is a defect of Danlu and keeps its traceback.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from dataclasses import dataclass, replace


def nearest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The known word closest to `word` by difflib's ratio, or None when nothing is closer than `cutoff`."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return close[0] if close else None


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what, where, the nearest valid thing and the next command."""

    what: str
    where: str = ""
    nearest: str | None = None
    next: str | None = None

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        lines = [head]
        if self.nearest:
            lines.append(f"  did you mean: {self.nearest}")
        if self.next:
            lines.append(f"  next: {self.next}")
        return "\n".join(lines)


class DanluError(Exception):
    """Base of every error that is the user's to mend. `exit_code` is what the command line returns, `advice` the next
    step where the place that raised the error knows no better one: no error is without."""

    exit_code = 1
    advice = "danlu --help"

    def __init__(self, what: str, *, where: str = "", nearest: str | None = None, next: str | None = None) -> None:
        self.problem = Problem(what, where, nearest, next or self.advice)
        super().__init__(what)

    def __str__(self) -> str:
        return str(self.problem)


class UsageError(DanluError):
    exit_code = 2


class RecipeError(DanluError):
    """Carries `problems`, all that were found in one reading."""

    exit_code = 2
    advice = "mend the lines named here; danlu plan RECIPE checks a recipe"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = [problem if problem.next else replace(problem, next=self.advice) for problem in problems]
        super().__init__(f"{len(problems)} problem(s) in the recipe")

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class MissingExtra(DanluError):
    exit_code = 3
    advice = "pip install 'danlu[EXTRA]' (the extras stand in the README)"


class GateError(DanluError):
    """A check between two steps failed. `figures` holds each measured value beside its bound."""

    exit_code = 4
    advice = "look at the figures: danlu show RECIPE; the bounds are settings of the step that checks"

    def __init__(self, what: str, figures: dict[str, float], **where: str | None) -> None:
        self.figures = figures
        super().__init__(what, **where)  # type: ignore[arg-type]


class StorageError(DanluError):
    exit_code = 5
    advice = "see to the folder, then run the same command again: finished steps are kept"


class DataError(DanluError):
    exit_code = 6
    advice = "mend what is named here or leave it out, then run the same command again: finished steps are kept"


class ModelError(DanluError):
    exit_code = 7
    advice = "take another model: danlu model ls names those that work"


class EndpointError(DanluError):
    exit_code = 8
    advice = "check the address, the key and the server, then run the same command again: finished work is kept"


_STORAGE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.EFBIG: "the file is larger than the limit allows",
}

_STORAGE_TEXTS = {
    "No space left on device": errno.ENOSPC,
    "database or disk is full": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "Read-only file system": errno.EROFS,
    "attempt to write a readonly database": errno.EROFS,
}


def storage_error(error: BaseException, where: str) -> StorageError | None:
    """The StorageError behind `error`, or None when `error` is about something else.

    Native libraries (safetensors, Lance, GGUF writers, SQLite) wrap the operating system's error in their own types
    and keep only its text, so the text is read where there is no errno.
    """
    seen: BaseException | None = error
    while seen is not None:
        what = _STORAGE.get(seen.errno or 0) if isinstance(seen, OSError) else None
        if what is None:
            what = next((_STORAGE[code] for text, code in _STORAGE_TEXTS.items() if text in str(seen)), None)
        if what:
            place = getattr(seen, "filename", None) or where
            full = any(word in what for word in ("full", "quota", "larger"))
            advice = "free some space" if full else "choose a writable folder"
            return StorageError(
                what, where=str(place), next=f"{advice}, then run the same command again: finished steps are kept"
            )
        seen = seen.__cause__ or seen.__context__
    return None
