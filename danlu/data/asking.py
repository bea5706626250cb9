"""The settings of every step that asks a Chat: whom, how, and for how much."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from danlu.registry import Aside, ChatName, Settings


class Asking(Settings):
    """The settings of every step that asks a Chat. Those that stand aside never change what is made: a step that ran
    out of its budget goes on, with a larger one, where it stopped."""

    chat: Annotated[str, ChatName()]
    """Who is asked: endpoint:URL#MODEL, FILE.gguf, a built-in model, or script:FILE.json."""

    licence: str = ""
    """The licence of what the model writes (some providers forbid to train other models on it); when empty, what is
    known of the model's own."""

    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """The longest answer, in tokens of the model that answers."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    """0 always takes the likeliest token."""

    enforce: bool = True
    """Have the backend hold answers to the JSON schema where one is wanted; false for an endpoint that refuses
    response_format. Answers are checked as strictly either way."""

    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    """How often the same is asked until the answer can be parsed."""

    key_variable: Annotated[str, Aside()] = "OPENAI_API_KEY"
    """The environment variable with the endpoint's key."""

    at_once: Annotated[int, Field(ge=1, le=256), Aside()] = 8
    """How many requests an endpoint is sent at once."""

    retries: Annotated[int, Field(ge=0, le=20), Aside()] = 6
    """How often a request is sent again after 429, 5xx, a timeout or a broken connection."""

    timeout: Annotated[float, Field(gt=0), Aside()] = 120.0
    """Seconds to wait for a connection, and for each piece of an answer."""

    token_budget: Annotated[int | None, Field(ge=1), Aside()] = None
    """Stop before the requests of this step take more tokens than this, prompts and answers together."""

    cost_budget: Annotated[float | None, Field(gt=0), Aside()] = None
    """Stop before the requests of this step cost more than this, in the currency of `prices`."""

    prices: Annotated[tuple[float, float] | None, Aside()] = None
    """What a million tokens cost: [of the prompt, of the answer]."""

    @model_validator(mode="after")
    def _priced(self) -> Asking:
        if self.cost_budget is not None and self.prices is None:
            raise ValueError("cost_budget needs prices: [per million prompt tokens, per million answer tokens]")
        if self.prices is not None and min(self.prices) < 0:
            raise ValueError("prices are from 0 up")
        return self
