"""A reward model: how good an answer is, as one number, from a sequence classifier with one label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from danlu.errors import ModelError
from danlu.extras import need
from danlu.model import find, load
from danlu.model.template import render
from danlu.records import Message

_BATCH = 8


class Reward:
    """A Hugging Face folder (or hub id) of a sequence classifier with one label, opened on the CPU in float32, in
    safetensors only. `scores` is all that is needed of one: a fake may stand in for it.

    The conversation is written with the model's own chat template, as it was when the model was trained. ModelError: a
    folder of another kind, a missing template, a conversation longer than the model's context (nothing is cut).
    """

    def __init__(self, name: str) -> None:
        need("transformers", "model")
        from transformers import AutoModelForSequenceClassification

        self.name = name
        folder = find.locate(name)
        self.tokenizer: Any = load.load_tokenizer(folder)
        try:
            self.model: Any = AutoModelForSequenceClassification.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True, use_safetensors=True, dtype="float32"
            ).eval()
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"no reward model: {str(error).splitlines()[0]}", where=str(folder)) from None
        labels = self.model.config.num_labels
        if labels != 1 or "ForSequenceClassification" not in str(self.model.config.architectures):
            raise ModelError(
                f"no reward model: a sequence classifier with one label is wanted, this has {labels}",
                where=str(folder),
                next="a folder of <Model>ForSequenceClassification with num_labels 1",
            )

    def scores(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        """The reward of the last message of each conversation; higher is better."""
        import torch

        ids = [self._tokens(list(one)) for one in conversations]
        order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
        found = [0.0] * len(ids)
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id
        self.model.config.pad_token_id = pad
        for start in range(0, len(order), _BATCH):
            some = order[start : start + _BATCH]
            most = max(len(ids[at]) for at in some)
            tokens = torch.tensor([ids[at] + [pad] * (most - len(ids[at])) for at in some])
            mask = torch.tensor([[1] * len(ids[at]) + [0] * (most - len(ids[at])) for at in some])
            with torch.inference_mode():
                logits = self.model(input_ids=tokens, attention_mask=mask).logits
            for at, value in zip(some, logits[:, 0].tolist(), strict=True):
                found[at] = value
        return found

    def _tokens(self, messages: list[Message]) -> list[int]:
        ids = render(self.tokenizer, messages)
        longest = getattr(self.model.config, "max_position_embeddings", None)
        if longest and len(ids) > longest:
            raise ModelError(f"a conversation has {len(ids)} tokens, the reward model takes {longest}", where=self.name)
        return ids
