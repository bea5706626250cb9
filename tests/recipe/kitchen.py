"""A kitchen for recipes: where the tests' recipe and its environment come from."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

RECIPE = """\
recipe: toy
description: 一個小小的食譜
seed: 7
steps:
  read: {use: toy.read, paths: [texts]}
  count: {use: toy.count, documents: read}
  slow: {use: toy.slow, examples: count}
"""


def environment(**more: str) -> dict[str, str]:
    """The environment of a fresh process; `first` is put before everything on its PYTHONPATH."""
    path = os.pathsep.join(filter(None, [more.pop("first", ""), str(ROOT), os.environ.get("PYTHONPATH", "")]))
    kept = {k: v for k, v in os.environ.items() if k not in ("DANLU_STORE", "MLFLOW_TRACKING_URI")}
    return {**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **more}
