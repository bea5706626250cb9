"""Presidio: its pattern recognisers for data.pii, and Danlu's recognisers and stand-ins for a Presidio of one's own.

data.pii calls the functions of `danlu.text` themselves, which is about twice as fast as an AnalyzerEngine and saves the
seconds that each process takes to import it, and asks Presidio only for the recognisers that a recipe names.
The other way round, `analyzer()` is an AnalyzerEngine for Chinese without a language model, which knows Taiwan's
identifiers (entity TW_NATIONAL_ID and so on), and `anonymizer()` an AnonymizerEngine that can `pseudonymise`.

Of Presidio's own recognisers only those that are patterns with checks are taken; those that load a model or call a
service are refused. Results under a score of 0.4 are left out: Presidio gives those to shapes that need a word beside
them, which it looks for with a language model.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from danlu.errors import UsageError, nearest
from danlu.extras import need
from danlu.text import credentials, pii
from danlu.text.pii import Hit
from danlu.text.pseudonym import pseudonym

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer
    from presidio_anonymizer import AnonymizerEngine
    from presidio_anonymizer.entities import OperatorConfig

LANGUAGE = "zh"
LEAST = 0.4
_THEIRS = {"email": "EMAIL_ADDRESS", "credit-card": "CREDIT_CARD", "ip": "IP_ADDRESS", "name": "PERSON"}
ENTITIES = {type: _THEIRS.get(type, f"TW_{type.replace('-', '_').upper()}") for type in pii.TYPES}
ENTITIES |= {type: type.replace("-", "_").upper() for type in credentials.TYPES}
"""Our types, and the entities that Presidio is told of."""

_TYPES = {entity: type for type, entity in ENTITIES.items()}


def hits(text: str, names: tuple[str, ...]) -> list[Hit]:
    """What these recognisers of Presidio find in `text`, of types presidio-iban-code and so on."""
    nothing: Any = None
    results = [
        result
        for recognizer in recognizers(names)
        for result in recognizer.analyze(text, recognizer.supported_entities, nothing) or []
    ]
    return [
        Hit(
            f"presidio-{result.entity_type.lower().replace('_', '-')}",
            result.start,
            result.end,
            result.score,
            "Presidio",
        )
        for result in results
        if result.score >= LEAST
    ]


@lru_cache(maxsize=8)
def recognizers(names: tuple[str, ...]) -> tuple[EntityRecognizer, ...]:
    """Presidio's pattern recognisers of these class names; UsageError with the nearest for another name."""
    analyzer = need("presidio_analyzer", "pii")
    theirs = need("presidio_analyzer.predefined_recognizers", "pii")
    known = {
        name: kind
        for name, kind in vars(theirs).items()
        if isinstance(kind, type) and issubclass(kind, analyzer.PatternRecognizer)
    }
    for name in names:
        if name not in known:
            raise UsageError(
                f"data.pii: {name!r} is no pattern recogniser of Presidio", nearest=nearest(name, known, 0.4)
            )
    if "EmailRecognizer" in names:
        domains = need("tldextract", "pii")
        vars(domains)["extract"] = domains.TLDExtract(suffix_list_urls=())  # the list that it came with, not the net's
    return tuple(known[name](supported_language=LANGUAGE) for name in names)


def analyzer(names: tuple[str, ...] = ()) -> AnalyzerEngine:
    """An AnalyzerEngine for Chinese with Danlu's recognisers and Presidio's of these names; loads no model."""
    presidio = need("presidio_analyzer", "pii")
    engine = need("presidio_analyzer.nlp_engine", "pii").NoOpNlpEngine([{"lang_code": LANGUAGE, "model_name": "none"}])
    registry = presidio.RecognizerRegistry(
        recognizers=[*our_recognizers(), *recognizers(names)], supported_languages=[LANGUAGE]
    )
    made: AnalyzerEngine = presidio.AnalyzerEngine(
        registry=registry, nlp_engine=engine, supported_languages=[LANGUAGE], default_score_threshold=LEAST
    )
    return made


def our_recognizers() -> list[EntityRecognizer]:
    """Two recognisers: Taiwan's personal data, and secrets."""
    presidio = need("presidio_analyzer", "pii")

    class Recognizer(presidio.EntityRecognizer):  # type: ignore[misc, name-defined]
        def __init__(self, name: str, types: tuple[str, ...], find: Callable[..., list[Hit]]) -> None:
            self.find = find
            entities = [ENTITIES[type] for type in types]
            super().__init__(supported_entities=entities, name=name, supported_language=LANGUAGE)

        def load(self) -> None:
            """There is nothing to load."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
            wanted = {_TYPES[entity] for entity in entities or self.supported_entities if entity in _TYPES}
            return [
                presidio.RecognizerResult(
                    ENTITIES[hit.type],
                    hit.start,
                    hit.end,
                    hit.score,
                    presidio.AnalysisExplanation(self.name, hit.score, textual_explanation=hit.why),
                )
                for hit in self.find(text, wanted)
            ]

    return [
        Recognizer("TaiwanRecognizer", pii.TYPES, pii.report),
        Recognizer("CredentialRecognizer", credentials.TYPES, credentials.report),
    ]


def anonymizer() -> AnonymizerEngine:
    """An AnonymizerEngine that also knows the operator `pseudonymise` (parameter `key`: bytes)."""
    presidio = need("presidio_anonymizer", "pii")
    operators = need("presidio_anonymizer.operators", "pii")

    class Pseudonymise(operators.Operator):  # type: ignore[misc, name-defined]
        def operate(self, text: str, params: dict[str, Any] | None = None) -> str:
            asked = params or {}
            entity = asked.get("entity_type", "")
            return pseudonym(_TYPES.get(entity, entity.lower()), text, asked["key"])

        def validate(self, params: dict[str, Any] | None = None) -> None:
            if not isinstance((params or {}).get("key"), bytes):
                raise presidio.entities.InvalidParamError("pseudonymise needs the parameter `key`, bytes")

        def operator_name(self) -> str:
            return "pseudonymise"

        def operator_type(self) -> Any:
            return operators.OperatorType.Anonymize

    engine: AnonymizerEngine = presidio.AnonymizerEngine()
    engine.add_anonymizer(Pseudonymise)
    return engine


def masks() -> dict[str, OperatorConfig]:
    """Presidio's operator `replace` for each of our entities: the same masks as those of data.pii."""
    from danlu.data.pii import mask

    config = need("presidio_anonymizer.entities", "pii").OperatorConfig
    return {entity: config("replace", {"new_value": mask(type)}) for type, entity in ENTITIES.items()}
