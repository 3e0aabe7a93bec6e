"""A model that the library transformers runs, in this process: text or vision-language, on a GPU where there is one.

    llm = TransformersLLM("path/to/folder")                      # needs: pip install 'plaudit[transformers]'
    llm = TransformersLLM("embedded")                            # the packaged model, by PyTorch in place of llama.cpp
    llm = TransformersLLM("path/to/folder", adapter="my-lora")   # with a LoRA adapter that peft has saved

What prompts of a call begin with together is evaluated once and kept for the next call; behind it they are evaluated
side by side, those of like length together, as many at once as the memory bears. ``choose`` reads the logits at the
prompt's end (teacher forcing for answers of several tokens). On a GPU the numbers are bfloat16, which the model's name
says; on a processor float32.

Left out: recurrent and encoder-decoder models, models in several processes, code that comes with a model, sharing and
batching of prompts with images (each is evaluated alone). Source: https://github.com/huggingface/transformers
"""

from __future__ import annotations

import copy
import io
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from plaudit.config import LLMConfig
from plaudit.errors import ConfigError, LLMError
from plaudit.llms import transformers_files as files
from plaudit.llms import weights
from plaudit.llms.base import NO_TEMPLATE, Request
from plaudit.llms.local import LocalLLM
from plaudit.llms.token_tree import Row, Strand, Task, Tokens, common_length

ROWS = 32
"""Prompts side by side to begin with; halved as often as the memory asks for."""
BATCH_TOKENS = 32_768
"""Tokens of a batch at most, shared ones counted for each: a processor's memory cannot be tried out, it swaps or kills."""
VALLEY = 64
"""Tokens that neighbours must share less than those beside them, for the batch to be split between them."""
ENDS = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "</s>")
"""Tokens that end a text in any model that has them as control tokens, as llama.cpp sees it too."""


class TransformersLLM(LocalLLM):
    """Text and vision-language models by transformers; LoRA adapters, a GPU.

    Args:
        spec: a folder, a model of the hub (from its cache where there is no network), a GGUF file, or ``embedded``.
        adapter: folder of a LoRA adapter.
        device: ``auto``, or what PyTorch calls it.
        threads: CPU threads; by default as many as the CPUs that this process may use.
        context: tokens of a prompt and what is written behind it; by default 4096 or the model's own limit.
        rows: prompts side by side to begin with.
    """

    window = 8 * ROWS

    def __init__(
        self,
        spec: str = "embedded",
        *,
        adapter: str = "",
        device: str = "auto",
        threads: int | None = None,
        context: int | None = None,
        rows: int = ROWS,
    ) -> None:
        super().__init__()
        files.check(spec, adapter)
        self.folder = folder = files.find(spec)
        if adapter:
            files.check_base(Path(adapter), spec, folder)
        import torch

        self._torch, self.rows = torch, rows
        self.device = _device(torch, device)
        self.threads = threads or weights.cpus()
        dtype = torch.float32 if self.device.type == "cpu" else torch.bfloat16
        try:
            self._load(folder, adapter, dtype)
        except (ImportError, KeyError, OSError, RuntimeError, SafetensorError, ValueError) as error:
            raise LLMError(f"the model in {folder} cannot be loaded: {str(error)[:300]}. Try another folder") from error
        own = getattr(self._config, "max_position_embeddings", None) or 4096
        self.context = min(context or 4096, own)
        windows = [getattr(self._config, key, None) for key in ("sliding_window", "attention_chunk_size")]
        # A window counts padding as it counts tokens: in such models only prompts of one length go side by side.
        self._padded = not any(window and window < self.context for window in windows)
        known = f"+{Path(adapter).resolve().name}:{files.fingerprint(Path(adapter))}" if adapter else ""
        name = Path(spec).name if files.HUB.fullmatch(spec) else folder.name
        self.name = f"transformers:{name}:{files.fingerprint(folder)}{known}:{str(dtype).removeprefix('torch.')}"
        self.clear()

    @classmethod
    def open(cls, config: LLMConfig) -> TransformersLLM:
        """The model that these settings name."""
        spec = config.model.partition(":")[2]
        options: dict[str, Any] = {"adapter": config.adapter, "device": config.device, "context": config.context}
        return cls(spec, threads=config.threads or None, **options)

    @classmethod
    def check(cls, config: LLMConfig) -> None:
        """Look for packages, folders and device, without loading the model."""
        files.check(config.model.partition(":")[2], config.adapter)
        import torch

        _device(torch, config.device)

    @classmethod
    def takes_images(cls, config: LLMConfig) -> bool | None:
        """By its folder; a model of the hub is looked at when it is loaded."""
        return files.takes_images(config.model.partition(":")[2])

    def _load(self, folder: Path, adapter: str, dtype: Any) -> None:
        import transformers as library
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

        config = library.AutoConfig.from_pretrained(folder, local_files_only=True)
        self.sees = config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
        kind: Any = library.AutoModelForImageTextToText if self.sees else library.AutoModelForCausalLM
        reader: Any = library.AutoProcessor if self.sees else library.AutoTokenizer
        with files.quiet():
            model, info = kind.from_pretrained(folder, local_files_only=True, dtype=dtype, output_loading_info=True)
            self._reader: Any = reader.from_pretrained(folder, local_files_only=True)
        if info["missing_keys"]:  # transformers would have filled them in at random
            raise ValueError(f"it lacks {len(info['missing_keys'])} weights, {min(info['missing_keys'])} among them")
        if model._is_stateful or config.is_encoder_decoder:
            raise ValueError("it is recurrent or has an encoder; serve it over HTTP and use that back-end")
        if adapter:
            model = _with_adapter(model, adapter)
        self._model: Any = model.eval().to(self.device)
        self._config: Any = config.get_text_config()
        self._tokenizer: Any = getattr(self._reader, "tokenizer", self._reader)
        self._anchor = self._tokens("x")
        # SentencePiece puts a space before every text; an answer's own one would then be doubled.
        self._adds_space = self._tokenizer.convert_ids_to_tokens(self._anchor)[0].startswith("▁")
        named = {t for t in ENDS if t in self._tokenizer.all_special_tokens}
        ends = getattr(model.generation_config, "eos_token_id", None)
        self._end_tokens = {*self._tokenizer.convert_tokens_to_ids(sorted(named)), self._tokenizer.eos_token_id}
        self._end_tokens |= set(ends) if isinstance(ends, list) else {ends}

    def teach(self, vision: bool = False, **settings: Any) -> Any:
        """Put LoRA matrices into the model (settings of peft's LoraConfig) and return it; the base's weights stay frozen.

        What is asked afterwards is asked of the model as it has been taught by then. Of a model that sees, the layers of
        its language model are taught; with ``vision`` those that see, too.
        """
        from peft import LoraConfig, get_peft_model

        if self.sees and not vision:
            settings["target_modules"] = files.language_layers(self._model, settings.get("target_modules"))

        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of peft about transformers
            self._model = get_peft_model(self._model, LoraConfig(task_type="CAUSAL_LM", **settings))
        self.clear()
        return self._model

    @property
    def model(self) -> Any:
        """The model itself, a PyTorch module."""
        return self._model

    def text_tokens(self, text: str) -> list[int]:
        """A text's tokens, as a document begins; control tokens that it spells out stay text."""
        return self._tokens(text, begins=True)

    def clear(self) -> None:
        """Forget the shared beginning: the next call evaluates its prompts from the first token on."""
        self._held: tuple[Tokens, Any] = ((), None)

    def close(self) -> None:
        """Free the memory; asking afterwards is an error."""
        self._closed, self._model = True, None
        self.clear()
        self._free()

    def _tokens(self, text: str, begins: bool = False) -> list[int]:
        """A text's tokens; control tokens that it spells out stay text."""
        return list(self._tokenizer(text, add_special_tokens=begins, split_special_tokens=True)["input_ids"])

    def prompt_tokens(self, request: Request) -> Tokens:
        if request.images:
            return tuple(self._seen(request)["input_ids"][0].tolist())
        if not request.chat:
            return tuple(self._tokens(request.prompt, begins=True))
        if not self._reader.chat_template:
            raise LLMError(NO_TEMPLATE)
        said: Any = request.prompt.strip()
        asked = self._reader.apply_chat_template(
            [{"role": "user", "content": [{"type": "text", "text": said}] if self.sees else said}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            sanitize_control_tokens=True,
        )["input_ids"]
        return tuple(asked[0] if self.sees else asked)

    def _seen(self, request: Request) -> Any:
        """A prompt with images as the model takes it: tokens, pixels and what else its processor makes."""
        from PIL import Image

        if not self._reader.chat_template:
            raise LLMError(
                "this model has no chat template, which pictures need. Take its instruct version, or --judge.input text"
            )
        shown: list[dict[str, Any]] = [
            {"type": "image", "image": Image.open(io.BytesIO(image.png)).convert("RGB")} for image in request.images
        ]
        return self._reader.apply_chat_template(
            [{"role": "user", "content": [*shown, {"type": "text", "text": request.prompt.strip()}]}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            sanitize_control_tokens=True,
        )

    def answer_tokens(self, answer: str) -> Tokens:
        return tuple(self._tokens(answer[1:] if self._adds_space and answer.startswith(" ") else answer))

    def _text(self, tokens: list[int]) -> str:
        """Behind another token, for decoding strips the space that a text begins with."""
        read = partial(self._tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(read(self._anchor + tokens))[len(read(self._anchor)) :]

    def _ends(self, token: int) -> bool:
        return token in self._end_tokens

    def _run(self, strands: Iterator[Strand], tell: Callable[[Task], None]) -> None:
        with self._torch.inference_mode(), self._with_threads():
            plain, seeing = list[Strand](), list[Strand]()
            for strand in strands:
                (seeing if strand.tasks[0].request.images else plain).append(strand)
            for group in groups(plain):
                shared = self._shared(group)
                group.sort(key=lambda strand: -len(strand.path))
                while group:
                    size = max(1, min(self.rows, BATCH_TOKENS // len(group[0].path)))
                    if not self._padded:
                        size = min(size, sum(len(strand.path) == len(group[0].path) for strand in group))
                    group = self._batch(group[:size], shared, tell) + group[size:]
            for strand in seeing:
                self._batch([strand], 0, tell)

    def _shared(self, group: Sequence[Strand]) -> int:
        """Tokens that all of a group begin with and nobody wants the logits behind; of one prompt, what is held."""
        first = group[0].path
        others = [strand.path for strand in group[1:]] or [self._held[0]]
        most = min(min(strand.takers) for strand in group) - 1
        return min(most, *(common_length(first, path) for path in others))

    def _batch(self, batch: list[Strand], shared: int, tell: Callable[[Task], None]) -> list[Strand]:
        """Evaluate these side by side; those for which the memory did not suffice are given back."""
        start, left = time.perf_counter(), list[Strand]()
        tasks = list(dict.fromkeys(task for strand in batch for task in strand.tasks if not task.done))
        try:
            self._evaluate(batch, shared)
        except (RuntimeError, IndexError, ValueError, MemoryError) as error:
            self.clear()
            self._free()
            if (isinstance(error, MemoryError) or files.no_memory(str(error))) and len(batch) > 1:
                self.rows = len(batch) // 2
                left = [strand for strand in batch if not all(task.done for task in strand.tasks)]
            else:
                for task in tasks:
                    if not task.done:
                        task.fail(f"PyTorch could not evaluate this batch: {str(error)[:200]}")
        for task in tasks:
            task.seconds += (time.perf_counter() - start) / len(tasks)
        for task in tasks:
            if task.done:
                tell(task)
        return left

    def _evaluate(self, batch: list[Strand], shared: int) -> None:
        torch, count = self._torch, len(batch)
        for strand in batch:
            if strand.writer:  # it may have begun in a batch that was too large
                strand.path = strand.writer.prompt + tuple(strand.writer.tokens)
                strand.takers = {len(strand.path): [strand.writer.take]}
        cache, extras = self._beginning(batch[0].path[:shared], count), dict[str, Any]()
        if batch[0].tasks[0].request.images:
            extras = self._extras(batch[0])
        width = max(len(strand.path) for strand in batch) - shared
        ids = torch.zeros((count, width), dtype=torch.long)
        mask = torch.ones((count, shared + width), dtype=torch.long)
        for row, strand in enumerate(batch):  # padding between the shared beginning and a prompt's own tokens
            padding = width - len(strand.path) + shared
            ids[row, padding:] = torch.tensor(strand.path[shared:])
            mask[row, shared : shared + padding] = 0
        depth = max(len(strand.path) - min(strand.takers) for strand in batch) + 1
        logits = self._forward(ids, mask, cache, depth, extras)
        for row, strand in enumerate(batch):
            for at, takers in strand.takers.items():
                for take in takers:
                    take(_row(logits[row, depth - 1 - (len(strand.path) - at)]))
        self._write([strand for strand in batch if strand.writer], mask, cache, bool(extras))

    def _write(self, writers: list[Strand], mask: Any, cache: Any, sees: bool) -> None:
        """One token after another, until all are done; those that are make room."""
        torch = self._torch
        while writers:
            keep = [row for row, strand in enumerate(writers) if strand.writer and not strand.writer.done]
            if not keep:
                return
            if len(keep) < len(writers):
                cache.batch_select_indices(torch.tensor(keep, device=self.device))
                writers, mask = [writers[row] for row in keep], mask[keep]
            live = [strand.writer for strand in writers if strand.writer]
            mask = torch.cat([mask, torch.ones((len(live), 1), dtype=torch.long)], dim=1)
            last = torch.tensor([[writer.tokens[-1]] for writer in live])
            logits = self._forward(last, mask, cache, 1, {} if not sees else {"position_ids": None})
            for row, writer in enumerate(live):
                writer.take(_row(logits[row, 0]))

    def _forward(self, ids: Any, mask: Any, cache: Any, depth: int, extras: dict[str, Any]) -> Any:
        """Logits of the last ``depth`` tokens, in float32 on the processor; the cache grows by these tokens."""
        start = time.perf_counter()
        positions = (mask.cumsum(1)[:, -ids.shape[1] :] - 1).clamp(min=0)
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions} | extras
        given = {k: v.to(self.device) if hasattr(v, "to") else v for k, v in inputs.items()}
        with files.quiet():
            out = self._model(**given, past_key_values=cache, use_cache=True, logits_to_keep=depth)
        logits = out.logits[:, -depth:].float().cpu()
        self.stats.tokens += int(mask[:, -ids.shape[1] :].sum())
        self.stats.batches += 1
        self.stats.seconds += time.perf_counter() - start
        return logits

    def _extras(self, strand: Strand) -> dict[str, Any]:
        """Pixels and kinds of tokens beside a prompt with images; the model finds the positions itself."""
        torch = self._torch
        task = strand.tasks[0]
        seen, length = self.pixels(task.request), len(task.prompt)
        more = torch.zeros((1, len(strand.path) - length), dtype=torch.long)
        for key, value in seen.items():
            if value.shape == (1, length):  # one number for each token
                seen[key] = torch.cat([value, more.to(value.dtype)], dim=1)
        return seen | {"position_ids": None}

    def pixels(self, request: Request) -> dict[str, Any]:
        """What a model that sees takes of a prompt with images beside its tokens: pixels, kinds of tokens."""
        seen = {k: v for k, v in self._seen(request).items() if k not in ("input_ids", "attention_mask")}
        return {k: v.to(self._model.dtype) if v.is_floating_point() else v for k, v in seen.items()}

    def _beginning(self, tokens: Tokens, count: int) -> Any:
        """A cache that holds these tokens for so many prompts; what was evaluated before is not again."""
        from transformers import DynamicCache

        if not tokens:
            return DynamicCache()
        held, cache = self._held
        known = common_length(tokens, held)
        self.clear()  # an interrupt may leave it half written
        if cache is None or not known:
            cache, known = DynamicCache(), 0
        elif known < len(held):
            cache.crop(known - len(held))
        if known < len(tokens):
            mask = self._torch.ones((1, len(tokens)), dtype=self._torch.long)
            self._forward(self._torch.tensor([tokens[known:]]), mask, cache, 1, {})
        self._held = (tokens, cache)
        spread: Any = DynamicCache()
        spread.layers = [copy.copy(layer) for layer in cache.layers]
        for layer in spread.layers:  # a view: nothing is copied before the prompts' own tokens are put behind it
            layer.keys = layer.keys.expand(count, *layer.keys.shape[1:])
            layer.values = layer.values.expand(count, *layer.values.shape[1:])
        return spread

    @contextmanager
    def _with_threads(self) -> Iterator[None]:
        """PyTorch's threads are the whole process's: training beside this may want fewer."""
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            self._torch.set_num_threads(before)

    def _free(self) -> None:
        if self.device.type == "cuda":
            self._torch.cuda.empty_cache()


def groups(strands: Sequence[Strand]) -> Iterator[list[Strand]]:
    """Sorted strands cut where neighbours share much less than those beside them do: a stranger spoils no beginning."""
    shared = [common_length(a.path, b.path) for a, b in pairwise(strands)]
    start = 0
    for at, length in enumerate(shared):
        beside = [*shared[max(0, at - 1) : at], *shared[at + 1 : at + 2]]
        if length + VALLEY < max(beside, default=0):
            yield list(strands[start : at + 1])
            start = at + 1
    if strands:
        yield list(strands[start:])


def _with_adapter(model: Any, adapter: str) -> Any:
    """The model with peft's matrices in its weights."""
    from peft import PeftModel

    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # peft's, of transformers' next version
            return PeftModel.from_pretrained(model, adapter).merge_and_unload()
    except (KeyError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        raise LLMError(
            f"the adapter {adapter} cannot be put on this model: {str(error)[:300]}. It is damaged or for another model: "
            "teach it anew, or name the model that it is for (--llm)"
        ) from error


def _row(logits: Any) -> Row:
    return Row(lambda: int(logits.argmax()), logits.numpy)


def _device(torch: Any, wanted: str) -> Any:
    if wanted == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ConfigError(f"there is no device {wanted!r} here: {reason}. Try --llm.device auto") from None
    return device
