"""llama.cpp below its server: the logits of every position, tokens, metadata, and quantizing of rows.

The library is the one inside xllamacpp, the wheel that also serves (`danlu.model.llama_server`): what is measured is
what answers. Its C functions are exported, and ctypes calls them; the two structures passed by value are declared
here, and `_library` checks them against the values that llama.cpp fills in, so that a release with another layout is
refused instead of misread. (llama-cpp-py-sync carries a libllama too, but its wheels need glibc 2.38.)

Not covered: GPUs, several sequences at once.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import re
from collections.abc import Sequence
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int8, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from danlu.errors import ModelError
from danlu.extras import need
from danlu.model import border
from danlu.model.border import Border

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_MARK = re.compile(r"<[^<>\s]{1,60}>|\[/?[A-Za-z_]{1,30}\]")
_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)
_F32 = 0


def _structure(name: str, fields: str) -> type[ctypes.Structure]:
    kinds = {"i": c_int32, "u": c_uint32, "q": c_int64, "f": c_float, "p": c_void_p, "z": c_size_t, "b": c_bool}
    pairs = [(word.split(":")[0], kinds[word.split(":")[1]]) for word in fields.split()]
    return type(name, (ctypes.Structure,), {"_fields_": pairs})


# struct llama_model_params and struct llama_context_params of llama.h, in order.
_ModelParams = _structure(
    "_ModelParams",
    "devices:p buft_overrides:p n_gpu_layers:i split_mode:i load_mode:i lazy_mode:i main_gpu:i tensor_split:p "
    "progress:p progress_data:p kv_overrides:p vocab_only:b check_tensors:b use_extra_bufts:b no_host:b no_alloc:b "
    "load_mtp:b",
)
_ContextParams = _structure(
    "_ContextParams",
    "n_ctx:u n_batch:u n_ubatch:u n_seq_max:u n_rs_seq:u n_outputs_max:u n_outputs_max_per_seq:u n_threads:i "
    "n_threads_batch:i ctx_type:i rope_scaling:i pooling:i attention:i flash_attn:i rope_base:f rope_scale:f "
    "yarn_ext:f yarn_attn:f yarn_fast:f yarn_slow:f yarn_ctx:u defrag:f eval:p eval_data:p type_k:i type_v:i "
    "moe_cache:z abort:p abort_data:p embeddings:b offload_kqv:b no_perf:b op_offload:b swa_full:b kv_unified:b "
    "samplers:p n_samplers:z other:p",
)
_Batch = _structure("_Batch", "n_tokens:i token:p embd:p pos:p n_seq_id:p seq_id:p logits:p")
_GRAMMAR = "_Z22llama_sampler_init_llgPK11llama_vocabPKcS3_"  # C++, of llama.cpp's common library
_Candidates = _structure("_Candidates", "data:p size:z selected:q sorted:b")

# What llama.cpp fills in, spread over both structures: other values mean another layout.
_DEFAULTS = {
    "n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1, "n_outputs_max_per_seq": 1, "rope_scaling": -1,
    "pooling": -1, "attention": -1, "flash_attn": -1, "yarn_slow": -1.0, "yarn_ctx": 0, "eval": None, "type_k": 1,
    "type_v": 1, "abort_data": None, "embeddings": False, "offload_kqv": True, "swa_full": True, "samplers": None,
    "n_samplers": 0, "other": None, "n_gpu_layers": -1, "split_mode": 1, "load_mode": -1, "main_gpu": 0,
    "kv_overrides": None, "vocab_only": False, "use_extra_bufts": True, "no_alloc": False,
}  # fmt: skip

_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_log_set": (None, [_LOG, c_void_p]),
    "llama_backend_init": (None, []),
    "llama_model_default_params": (_ModelParams, []),
    "llama_context_default_params": (_ContextParams, []),
    "llama_model_load_from_file": (c_void_p, [c_char_p, _ModelParams]),
    "llama_init_from_model": (c_void_p, [c_void_p, _ContextParams]),
    "llama_model_free": (None, [c_void_p]),
    "llama_free": (None, [c_void_p]),
    "llama_model_get_vocab": (c_void_p, [c_void_p]),
    "llama_vocab_n_tokens": (c_int32, [c_void_p]),
    "llama_vocab_is_eog": (c_bool, [c_void_p, c_int32]),
    "llama_vocab_bos": (c_int32, [c_void_p]),
    "llama_vocab_eos": (c_int32, [c_void_p]),
    "llama_vocab_get_text": (c_char_p, [c_void_p, c_int32]),
    "llama_token_to_piece": (c_int32, [c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool]),
    "llama_model_n_ctx_train": (c_int32, [c_void_p]),
    "llama_model_ftype": (c_int32, [c_void_p]),
    "llama_ftype_name": (c_char_p, [c_int32]),
    "llama_model_has_encoder": (c_bool, [c_void_p]),
    "llama_model_is_recurrent": (c_bool, [c_void_p]),
    "llama_model_is_hybrid": (c_bool, [c_void_p]),
    "llama_model_meta_val_str": (c_int32, [c_void_p, c_char_p, c_char_p, c_size_t]),
    "llama_tokenize": (c_int32, [c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool]),
    "llama_get_memory": (c_void_p, [c_void_p]),
    "llama_memory_clear": (None, [c_void_p, c_bool]),
    "llama_memory_seq_rm": (c_bool, [c_void_p, c_int32, c_int32, c_int32]),
    "llama_batch_get_one": (_Batch, [POINTER(c_int32), c_int32]),
    "llama_decode": (c_int32, [c_void_p, _Batch]),
    "llama_get_logits": (c_void_p, [c_void_p]),
    _GRAMMAR: (c_void_p, [c_void_p, c_char_p, c_char_p]),
    "llama_sampler_apply": (None, [c_void_p, POINTER(_Candidates)]),
    "llama_sampler_accept": (None, [c_void_p, c_int32]),
    "llama_sampler_free": (None, [c_void_p]),
    "ggml_quantize_chunk": (
        c_size_t,
        [c_int32, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p],
    ),
}


@functools.cache
def _library() -> Any:
    """The C library, declared, checked and silent (llama.cpp logs to standard error unless a callback takes it)."""
    xllamacpp = need("xllamacpp", "quant")
    lib: Any = ctypes.CDLL(xllamacpp.xllamacpp.__file__)
    try:
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as error:
        raise _wrong_release(xllamacpp.__version__, str(error)) from None
    context, model = lib.llama_context_default_params(), lib.llama_model_default_params()
    found = {name: getattr(part, name) for part in (context, model) for name in _DEFAULTS if hasattr(part, name)}
    if found != _DEFAULTS:
        raise _wrong_release(xllamacpp.__version__, f"its default parameters read as {found}")
    lib.silence = _LOG(lambda level, text, data: None)
    lib.llama_log_set(lib.silence, None)
    lib.llama_backend_init()
    return lib


def _wrong_release(version: str, why: str) -> ModelError:
    return ModelError(
        f"this release of xllamacpp ({version}) has another C interface than Danlu was written for: {why}",
        next="pip install 'xllamacpp==2026.10.11549'",
    )


def quantize_rows(rows: Array, ggml_type: int, row_bytes: int) -> Array:
    """Quantize float32 `rows` [n, width] to a ggml type, as llama.cpp itself does; uint8 [n, row_bytes].

    The width must be a multiple of the type's block. Rows are independent, so threads do not change a byte.
    """
    import concurrent.futures

    import numpy as np

    rows = np.ascontiguousarray(rows, dtype=np.float32)
    out = np.empty((len(rows), row_bytes), dtype=np.uint8)
    lib, width = _library(), rows.shape[1]

    def some(first: int, count: int) -> None:
        lib.ggml_quantize_chunk(ggml_type, rows.ctypes.data, out.ctypes.data, first * width, count, width, None)

    step = max(1, 2**20 // width)
    lib.ggml_quantize_chunk(ggml_type, rows.ctypes.data, out.ctypes.data, 0, min(1, len(rows)), width, None)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda first: some(first, min(step, len(rows) - first)), range(0, len(rows), step)))
    return out


class LlamaFile:
    """A GGUF file opened in llama.cpp: its vocabulary and metadata, with `weights` its weights too. Use it as a context
    manager. Raises ModelError when llama.cpp cannot load the file."""

    def __init__(self, path: Path | str, weights: bool = False) -> None:
        self._lib = _library()
        self.path = Path(path)
        self._context: int | None = None
        params = self._lib.llama_model_default_params()
        params.vocab_only, params.n_gpu_layers = not weights, 0
        self._model = self._lib.llama_model_load_from_file(os.fsencode(self.path), params)
        if not self._model:
            raise ModelError(
                "llama.cpp cannot load this file", where=str(path), next="make it again: danlu run RECIPE --force STEP"
            )
        self._vocab = self._lib.llama_model_get_vocab(self._model)
        self.n_vocab = int(self._lib.llama_vocab_n_tokens(self._vocab))

    def _open_context(self, n_ctx: int, n_outputs: int, threads: int | None) -> None:
        """A context of `n_ctx` tokens that gives the logits of `n_outputs` of them at a time. Attention state is kept
        in float32, so that what differs from PyTorch is the weights' format."""
        params = self._lib.llama_context_default_params()
        params.n_ctx = params.n_batch = n_ctx
        params.n_outputs_max = params.n_outputs_max_per_seq = n_outputs
        params.n_ubatch = min(n_ctx, 512)
        params.n_threads = params.n_threads_batch = threads or os.cpu_count() or 1
        params.type_k = params.type_v = _F32
        params.flash_attn = 0
        params.embeddings, params.swa_full = False, True
        self._context = self._lib.llama_init_from_model(self._model, params)
        if not self._context:
            self.close()
            raise ModelError(f"llama.cpp cannot open a context of {n_ctx} tokens", where=str(self.path))

    def _decode(self, ids: list[int], wanted: list[bool]) -> Array:
        """Logits after the wanted ones of `ids`, which follow what is in the context; float32 [wanted, n_vocab], valid
        until the next call."""
        import numpy as np

        count = len(ids)
        tokens, flags = (c_int32 * count)(*ids), (c_int8 * count)(*wanted)
        batch = self._lib.llama_batch_get_one(tokens, count)
        batch.logits = ctypes.addressof(flags)
        status = self._lib.llama_decode(self._context, batch)
        if status != 0:
            raise ModelError(f"llama.cpp failed to decode {count} tokens (status {status})", where=str(self.path))
        if not any(wanted):
            return np.empty((0, self.n_vocab), np.float32)
        pointer = ctypes.cast(self._lib.llama_get_logits(self._context), POINTER(c_float))
        return np.ctypeslib.as_array(pointer, (sum(wanted), self.n_vocab))

    def tokenize(self, text: str, special: bool = False, bounds: bool = False) -> list[int]:
        """llama.cpp's own tokens of `text`; with `special`, the names of control tokens in the text become those
        tokens; with `bounds`, the BOS and EOS that the file says belong to a text are there."""
        return self._tokens(self._entered(text).encode(), bounds, special)

    def _tokens(self, data: bytes, bounds: bool, special: bool) -> list[int]:
        out = (c_int32 * (len(data) + 16))()
        count = self._lib.llama_tokenize(self._vocab, data, len(data), out, len(out), bounds, special)
        if count < 0:
            raise ModelError(
                f"llama.cpp cannot tokenize a text of {len(data)} bytes", where=str(self.path), next="shorten the text"
            )
        return list(out[:count])

    @functools.cached_property
    def border(self) -> Border:
        """What is done to texts before llama.cpp reads them."""
        strip = frozenset((self.metadata(border.STRIP) or "").split())
        return Border(self.metadata(border.FORM), self.metadata(border.PREFIX), strip)

    def _entered(self, text: str) -> str:
        text = self.border.whole(text)
        if self.border.prefix == "first" and text and text[0] not in " ▁" and not self._begins_with_control(text):
            text = " " + text
        return text

    def _begins_with_control(self, text: str) -> bool:
        found = _MARK.match(text)
        return bool(found) and len(self._tokens(found[0].encode(), False, True)) == 1

    def metadata(self, key: str) -> str | None:
        """The value of a metadata key as text, or None when the file does not have it."""
        size = self._lib.llama_model_meta_val_str(self._model, key.encode(), None, 0)
        if size < 0:
            return None
        buffer = ctypes.create_string_buffer(size + 1)
        self._lib.llama_model_meta_val_str(self._model, key.encode(), buffer, size + 1)
        return buffer.value.decode()

    def piece(self, token: int, special: bool = False) -> bytes:
        """What a token adds to a text, UTF-8 or a part of it; control tokens add nothing unless `special`."""
        buffer = ctypes.create_string_buffer(256)
        size = self._lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = self._lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        return bytes(buffer.raw[:size])

    def special(self, role: str) -> tuple[int | None, str | None]:
        """The "bos" or "eos" token and its name; None and None when the vocabulary has none."""
        token = int(getattr(self._lib, f"llama_vocab_{role}")(self._vocab))
        return (token, self.token_name(token)) if token >= 0 else (None, None)

    def token_name(self, token: int) -> str:
        """How the vocabulary spells a token."""
        return bytes(self._lib.llama_vocab_get_text(self._vocab, token) or b"").decode("utf-8", "replace")

    def ends_generation(self, token: int) -> bool:
        """Whether llama.cpp stops generating at this token."""
        return bool(self._lib.llama_vocab_is_eog(self._vocab, token))

    def close(self) -> None:
        if self._context:
            self._lib.llama_free(self._context)
        if self._model:
            self._lib.llama_model_free(self._model)
        self._context = self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Grammar:
    """A grammar in llguidance's notation (Lark) that an answer of `file`'s model must follow, token by token."""

    def __init__(self, file: LlamaFile, text: str) -> None:
        self._file, self._lib = file, file._lib
        self._sampler = getattr(self._lib, _GRAMMAR)(file._vocab, b"lark", text.encode())
        # of a grammar that it cannot read, llama.cpp makes one that allows everything
        if not self._sampler or (self.masked([0.0] * file.n_vocab) == 0).all():
            raise ModelError("llama.cpp cannot read this grammar")

    def allows(self, token: int) -> bool:
        """Whether this token may come next."""
        return bool(self._filtered([token], [0.0])[0] > -math.inf)

    def masked(self, logits: Array | list[float]) -> Array:
        """The logits [n_vocab] with -inf where a token may not come next."""
        return self._filtered(range(len(logits)), logits)

    def accept(self, token: int) -> None:
        """`token` was chosen."""
        self._lib.llama_sampler_accept(self._sampler, token)

    def _filtered(self, tokens: Sequence[int], logits: Any) -> Array:
        import numpy as np

        table = np.zeros(len(tokens), dtype=[("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        table["id"], table["logit"] = tokens, logits
        candidates = _Candidates(data=table.ctypes.data, size=len(table), selected=-1, sorted=False)
        self._lib.llama_sampler_apply(self._sampler, ctypes.byref(candidates))
        return table["logit"].copy()

    def __del__(self) -> None:
        if getattr(self, "_sampler", None):
            self._lib.llama_sampler_free(self._sampler)


class LlamaLogits(LlamaFile):
    """A GGUF file opened in llama.cpp on the CPU, for measuring: the logits of one text at a time.

    `n_ctx` bounds the length of one `logits` call; 0 reads the vocabulary only (tokens and metadata, no weights).
    """

    def __init__(self, path: Path | str, n_ctx: int = 2048, threads: int | None = None) -> None:
        super().__init__(path, weights=n_ctx > 0)
        self.n_ctx = n_ctx
        if n_ctx:
            self._open_context(n_ctx, n_ctx, threads)

    def logits(self, ids: list[int], start: int = 0) -> Array:
        """Logits after each of `ids[start:]`, float32 [len(ids) - start, n_vocab]; the row of place i predicts token
        i + 1."""
        if self._context is None or not 0 < len(ids) <= self.n_ctx:
            raise ModelError(
                f"{len(ids)} tokens do not fit in a context of {self.n_ctx}", where=str(self.path), next="raise n_ctx"
            )
        self._lib.llama_memory_clear(self._lib.llama_get_memory(self._context), True)
        return self._decode(ids, [place >= start for place in range(len(ids))]).copy()
