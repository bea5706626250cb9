"""Tasks from the YAML files of lm-evaluation-harness, as they are, and from Danlu's own in the same format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from danlu.errors import DanluError, DataError, EndpointError

if TYPE_CHECKING:
    from danlu.eval.harness.find import Known
    from danlu.eval.task import Task

SHIPPED = Path(__file__).parents[1] / "tasks"


def load_tasks(
    names: Sequence[str],
    include: Sequence[Path] = (),
    data: Path | None = None,
    limit: int | None = None,
    trust_code: bool = False,
) -> list[Task]:
    """The tasks behind some names: of a task, of a group or tag (all of its tasks), or the path of a YAML file.

    `include` are folders with more YAML files; what they define goes before what ships. `data` is a folder of
    datasets (see `danlu.eval.harness.data`), `limit` the most questions of each task, taken from the beginning.
    `trust_code` lets `!function` run the Python that lies beside a YAML file; without it such a file is refused.
    UsageError for a name that nothing has, DataError for a file or a dataset that cannot be read as it says.
    """
    tasks, left_out = load_what_is_there(names, include, data, limit, trust_code)
    for error in left_out.values():
        raise error
    return tasks


def load_what_is_there(
    names: Sequence[str],
    include: Sequence[Path] = (),
    data: Path | None = None,
    limit: int | None = None,
    trust_code: bool = False,
) -> tuple[list[Task], dict[str, DanluError]]:
    """`load_tasks`, and why each task that cannot be asked (its dataset is not there, say) is left out. When no task is
    left, the first of these is raised."""
    from danlu.eval.harness.find import Finder
    from danlu.eval.harness.task import HarnessTask

    tasks: list[Task] = []
    left_out: dict[str, DanluError] = {}
    for config in Finder([*include, SHIPPED], trust_code).configs(names):
        try:
            tasks.append(HarnessTask(config, data, limit))
        except (DataError, EndpointError) as error:
            left_out[config.config.task or str(config.read.path.name)] = error
    if left_out and not tasks:
        raise next(iter(left_out.values()))
    return tasks, left_out


def known_tasks(include: Sequence[Path] = ()) -> list[Known]:
    """What can be loaded: every task, group and tag, by name."""
    from danlu.eval.harness.find import Finder

    return Finder([*include, SHIPPED]).known()
