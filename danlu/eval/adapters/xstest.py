"""XSTest: xstest_prompts.csv as published, or JSONL with the same fields."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from danlu.eval.adapters import Adapter, Rows, Sorting
from danlu.eval.adapters.files import need, table


def read(files: Sequence[Path], split: str, label: str = "") -> Rows:
    """One row a prompt: {id, prompt, label (safe or unsafe), type}; `label` keeps those of one kind (the others are of
    another task, and counted as `other-label`). Dropped too: `no-label`, `duplicate`."""
    kept = Sorting()
    for path in files:
        for where, row in table(path):
            prompt, kind = need(row, "prompt", where).strip(), str(row.get("label") or row.get("type") or "")
            own = "unsafe" if "unsafe" in kind or kind.startswith("contrast") else "safe"
            if not kind:
                kept.drop("no-label")
            elif label and own != label:
                kept.drop("other-label")
            else:
                fields = {
                    "id": str(row.get("id", "")),
                    "prompt": prompt,
                    "label": own,
                    "type": str(row.get("type", "")),
                }
                kept.keep(fields, unlike=prompt)
    return kept.done(files)


XSTEST = Adapter(
    ("xstest_prompts*.csv", "xstest*.jsonl"), read, places=("redteam/xstest", "xstest"), arguments=("label",)
)
