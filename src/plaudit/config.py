"""All settings of a run: dataclasses that are the recipe (TOML), the command line and the record in ``run.json``.

The line under each field is its ``--help`` text. Unknown keys are errors that name the nearest known one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
import types
import typing
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

from plaudit.errors import ConfigError, did_you_mean

T = TypeVar("T")


@dataclass(frozen=True)
class WorldConfig:
    """The world."""

    name: str = "doorkey"
    """Which world: see plaudit list. WORLD:TASK on the command line gives its task as well."""
    task: str = ""
    """Which of its tasks; empty for its first."""
    size: int = 0
    """How large it is (cells of a grid's side, words of a list); 0 for the usual size."""
    actions: str = ""
    """How coarse its actions are, where it has several kinds; empty for the usual ones."""
    observation: str = ""
    """What an agent observes, where there is a choice (state, pixels, ...); empty for the usual."""
    description: str = ""
    """How an observation is put into words, where there is a choice; empty for the usual way."""


@dataclass(frozen=True)
class LLMConfig:
    """The language model."""

    model: str = "embedded"
    """'embedded' (SmolLM2-135M-Instruct, no network), a GGUF file, a server http://HOST:PORT/v1, openai:MODEL, or
    transformers:FOLDER (transformers:embedded, transformers:ORG/NAME)."""
    adapter: str = ""
    """LoRA adapter on top of the model: a GGUF file for GGUF models, a folder of peft's for transformers."""
    device: str = "auto"
    """transformers: 'cuda', 'mps' or 'cpu' (cuda:1 for the second one); 'auto' takes the first of these that is there."""
    threads: int = 0
    """Processor threads; 0 takes as many as this process may use."""
    context: int = 4096
    """Tokens that fit into the model's context, shared prefix included; a server has its own."""
    url: str = ""
    """openai:MODEL: base URL of its server; empty for OPENAI_BASE_URL, else OpenAI. The key is in OPENAI_API_KEY."""
    usd_in: float = 0.0
    """Price of a million tokens that a server reads, in dollars."""
    usd_out: float = 0.0
    """Price of a million tokens that a server writes, in dollars."""
    concurrency: int = 256
    """Requests that a server gets at once, at most; the level below it finds itself."""
    timeout: float = 60.0
    """Seconds that a server may take for one request."""
    retries: int = 6
    """Times that a failed request to a server is repeated."""
    votes: int = 8
    """Samples of each question where a server gives no log-probabilities."""
    batch: int = 0
    """So many questions at once and more go through the server's batch API, within 24 hours; 0: none."""
    batch_price: float = 0.5
    """What a batch costs, as a share of the two prices."""
    ledger: str = ""
    """File of answers that runs share, beside the run's own: what one has paid for, no other asks again."""
    replay: str = ""
    """Ledger that all answers are taken from in place of a model; what it does not hold is an error, never a question."""


@dataclass(frozen=True)
class CollectConfig:
    """Observations to judge."""

    steps: int = 200_000
    """Environment steps over all copies."""
    num_envs: int = 64
    """Copies of the world that step together."""
    policy: str = "random"
    """'random', 'expert' (the world's script), 'llm' (it acts), or a trained agent's folder (runs/NAME/train/ARM-SEED)."""
    recorded: int = 200_000
    """Steps that are kept whole: for reward programs, segments and in-context examples."""


@dataclass(frozen=True)
class JudgeConfig:
    """How the LLM is asked (routes preference and scalar)."""

    protocol: str = ""
    """preference: pointwise, pairwise, verdict, scale, rating; scalar: scale, rating, pointwise; empty for the first."""
    prompt: str = ""
    """Name of a prompt or path of a .txt file; empty for the protocol's own."""
    chat: bool = False
    """Whether to use the model's chat template."""
    input: Literal["text", "image", "both"] = "text"
    """What the judge is shown: the description, the world's picture of the observation, or both."""
    items: int = 400
    """Distinct observations to judge, at most; drawn evenly over the events that were met."""
    pairs: int = 4000
    """Comparisons for the reward model; pointwise takes them from the items' scores at no cost."""
    both_orders: bool = True
    """Ask about a pair with either one in the first seat, and average; else one order, drawn by a coin."""
    segment: int = 1
    """Consecutive observations that are judged as one item."""
    rounds: int = 1
    """Batches in which the items (or pairs) are asked; after each the reward is fitted and its accuracy measured."""
    selection: Literal["uniform", "disagreement", "transitive"] = "uniform"
    """Random pairs; in later rounds those the ensemble disputes; or only those that no earlier answers settle."""
    patience: int = 0
    """Stop asking after so many rounds without a gain in held-out accuracy; 0 asks all."""
    max_failures: float = 0.1
    """Stop when a larger share of the judgements failed."""


@dataclass(frozen=True)
class FitConfig:
    """The reward model."""

    input: Literal["text", "observation"] = "text"
    """What it reads: the description that the LLM was shown, or the observation's own arrays."""
    target: Literal["soft", "hard"] = "soft"
    """P(first preferred) as the LLM gave it, or rounded to 0 and 1."""
    ties: Literal["half", "drop"] = "half"
    """A tie as 0.5, or left out."""
    members: int = 3
    """Networks in the ensemble; their spread is the reward's uncertainty."""
    held_out: float = 0.2
    """Share of the judged observations that no training pair contains."""
    steps: int = 300
    """Gradient steps of each network."""
    batch: int = 256
    """Pairs in one step."""
    learning_rate: float = 1e-2
    """Adam's step size."""
    weight_decay: float = 1e-3
    """AdamW's decay of the weights."""
    width: int = 64
    """Units of the hidden layer."""
    labels: Literal["judge", "person", "both"] = "judge"
    """preference only: whose answers it learns from; a person's are given by plaudit label."""
    labels_from: str = ""
    """Folder of another run whose person's labels are taken; empty for this run's own."""
    label_weight: int = 10
    """both: for how many of the judge's pairs one of a person's counts."""
    calibrate: bool = False
    """both: bring the judge's probabilities to the sharpness that fits the person's answers best."""
    online: bool = False
    """scalar only: ask the LLM about each new observation during training, in place of fitting a network."""


@dataclass(frozen=True)
class OnlineConfig:
    """Judging again what the agents meet while they train (routes preference and scalar)."""

    beside: bool = False
    """Ask in a process beside each trainer, which waits for no answer, and fit the reward to the answers as they come."""
    questions: int = 1000
    """New observations of each agent that are judged, at most."""
    share: float = 0.5
    """Of the time, how much the judge beside works, on one thread; above 0.15 a processor is kept free for it."""
    refit: int = 16
    """New answers after which the reward model is fitted again, from where it stands; at first already after 4 and 8."""
    steps: int = 60
    """Gradient steps of each such fit."""


@dataclass(frozen=True)
class CodeConfig:
    """Reward programs that the LLM writes (route code)."""

    candidates: int = 8
    """Programs that are asked for in each round."""
    rounds: int = 2
    """Rounds: programs that fail go back to the LLM with the error."""
    temperature: float = 0.5
    """Of sampling; at 0 all candidates are the same."""
    max_tokens: int = 400
    """New tokens of one program."""
    prompt: str = ""
    """Name of a prompt or path of a .txt file; empty for plaudit's own."""
    chat: bool = False
    """Whether to use the model's chat template; a small model writes better where it just goes on with the text."""
    reflections: int = 0
    """Times that the training's result (the world's own success among it) is fed back for a better program."""
    seconds: float = 2.0
    """Time that a program may take for one batch."""
    memory_mb: int = 64
    """Memory that it may take."""


@dataclass(frozen=True)
class EmbeddingConfig:
    """Similarity to the goal (route embedding)."""

    model: str = "wordllama"
    """'wordllama' (weights inside the package), or the folder of a transformers model."""
    input: Literal["text", "image"] = "text"
    """What is embedded: descriptions, or the world's pictures by an image-text model."""
    goals: tuple[str, ...] = ()
    """Texts of the goal, the best counts; none takes the world's goal."""
    baseline: str = ""
    """Text without progress, for the regularised form; empty takes the mean of the observations that begin episodes."""
    alpha: float = 0.5
    """Strength of the goal-baseline regularisation; 0 is plain cosine."""
    threshold: float | None = None
    """Similarities at or below this become this."""


@dataclass(frozen=True)
class PolicyConfig:
    """The LLM acts (route llm)."""

    action: Literal["choose", "generate"] = "choose"
    """Most likely of the listed actions by log-probability, or generated text."""
    thought: bool = False
    """Chain of thought: think in words before acting."""
    examples: int = 0
    """Recorded steps shown as examples, those most like the present one."""
    demonstrations: Literal["any", "success"] = "any"
    """Which recorded episodes they are from: all, or those that the world called a success."""
    refine: int = 0
    """Rounds of self-refinement: propose, criticise, improve."""
    history: int = 0
    """Earlier steps of the episode that are shown."""
    prior: bool = False
    """choose: subtract an action's log-probability without the observation, so that frequent words do not win."""
    temperature: float = 0.0
    """0 takes the best action; above, actions are sampled."""
    max_tokens: int = 48
    """New tokens of a thought, criticism or generated action."""
    chat: bool = False
    """Whether to use the model's chat template."""
    prompt: str = ""
    """Name of a prompt or path of a .txt file; empty for plaudit's own."""
    episodes: int = 20
    """Episodes of each seed: each seed plays layouts of its own, since nothing is trained."""
    max_steps: int = 0
    """Steps after which an episode is cut off; success by then counts. 0 for the world's own limit, as all others have."""


@dataclass(frozen=True)
class ShapingConfig:
    """From the reward model's output to the reward that is maximised; the defaults are Motif's."""

    normalize: bool = True
    """Subtract the mean and divide by the standard deviation over the judged observations."""
    quantile: float = 0.5
    """Rewards at or below this quantile over the judged observations become 0; negative keeps all."""
    count_power: float = 3.0
    """Divide by N^power, N = times that this event has occurred in the episode; 0 does not count."""
    potential: bool = False
    """gamma * r(s') - r(s) in place of r(s'), beside the task reward, whose best policy it keeps; no quantile, no count."""
    difference: bool = False
    """r(s') - r(s) in place of r(s'): what a step gains, for to stay near the goal pays nothing; no quantile, no count."""
    task_weight: float = 0.0
    """Weight of the world's own reward in the sum; 0 trains on the LLM alone."""
    llm_weight: float = 1.0
    """Weight of the LLM's reward in the sum."""


@dataclass(frozen=True)
class TrainConfig:
    """Which agents are trained and how."""

    controls: tuple[str, ...] = ("task", "constant", "constant-minus", "count")
    """Routes without an LLM that are trained beside the run's own: see plaudit list."""
    seeds: int = 5
    """Agents of each arm; seed 0, 1, ... is the same layouts and first weights in every arm."""
    algorithm: Literal["ppo", "sac"] = "ppo"
    """'ppo', for every world; 'sac' for continuous actions where a step of the world is dear (extra sac)."""
    workers: int = 0
    """Processes; 0 takes one for each processor this process may use, fewer where judges work beside (online.share)."""
    steps: int = 204_800
    """Environment steps of each agent, rounded up to whole updates (num_envs x horizon)."""
    num_envs: int = 64
    """Copies of the world that step together."""
    horizon: int = 64
    """Steps of each copy between two updates."""
    epochs: int = 4
    """Passes over the data of one update; for sac, gradient steps after each step of all copies."""
    minibatch: int = 512
    """Transitions in one gradient step."""
    learning_rate: float = 1e-3
    """Adam's step size at the start; falls linearly to 0 (with sac it stays)."""
    gamma: float = 0.97
    """Discount per step, the same for every arm."""
    gae_lambda: float = 0.95
    """Decay of the advantage estimate over time: 0 trusts the value network, 1 the rewards that came."""
    entropy: float = 0.01
    """Weight of the policy's entropy."""
    width: int = 64
    """Units of each hidden layer."""
    memory: int = 0
    """Units of a recurrent memory of the episode, for worlds that do not show all that matters; 0 for none."""
    normalize: bool = False
    """Whether observed numbers and the reward are brought to unit scale by their running deviation."""
    visits: bool = False
    """Whether the learning curve tells what was met: distinct observations, descriptions and events, entropy of visits."""

    @property
    def whole_steps(self) -> int:
        """Environment steps of each agent, as they are done: whole updates."""
        update = self.num_envs * self.horizon
        return -(-self.steps // update) * update


@dataclass(frozen=True)
class EvaluateConfig:
    """How the trained agents are measured."""

    episodes: int = 100
    """Episodes of each agent, drawn from seeds that no training uses."""
    examples: int = 3
    """Episodes of the first agent of each arm that are recorded frame by frame for the report."""


@dataclass(frozen=True)
class ClusterConfig:
    """Where the LLM is asked and agents are trained; results do not depend on it."""

    on: str = "local"
    """'local' (this process and its children), 'ray' (one started here), or a cluster: HOST:PORT, ray://HOST:PORT, auto."""
    workers: int = 0
    """Workers with a copy of the model, or a connection to its server, each; 0 for as many as there is room for."""
    cpus: float = 1.0
    """Processors of each such worker."""
    gpus: float = 0.0
    """Graphics processors of each; 0.5 shares one."""
    serve: str = ""
    """Command by which each worker starts its own server: 'vllm serve MODEL --port {port}', with --llm openai:MODEL."""
    block: int = 0
    """Questions sent to a worker at once, which are asked again if it dies; 0 for 16, or up to 1,024 to a server."""


@dataclass(frozen=True)
class RunConfig:
    """One run: from the world to the report."""

    route: str = "preference"
    """How the LLM is used: preference, scalar, code, embedding, llm (it acts), or a control; see plaudit list."""
    world: WorldConfig = field(default_factory=WorldConfig)
    llm: LLMConfig = field(default_factory=LLMConfig)
    collect: CollectConfig = field(default_factory=CollectConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    online: OnlineConfig = field(default_factory=OnlineConfig)
    code: CodeConfig = field(default_factory=CodeConfig)
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    shaping: ShapingConfig = field(default_factory=ShapingConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    seed: int = 0
    """Seed of collecting, sampling and fitting."""


def to_dict(config: Any) -> dict[str, Any]:
    """Nested dictionary of plain values, as in TOML and JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(cls: type[T], values: dict[str, Any], where: str = "") -> T:
    """The dataclass with these values; unknown keys and wrong types are :class:`ConfigError`."""
    hints = typing.get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    arguments = {}
    for key, value in values.items():
        path = f"{where}{key}"
        if key not in known:
            raise ConfigError(f"there is no setting {path!r}.{did_you_mean(key, known)}")
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, dict):
                raise ConfigError(f"{path} is a table of settings, got {value!r}. Write [{path}] above them.")
            arguments[key] = from_dict(typing.cast(type[Any], hints[key]), value, f"{path}.")
        else:
            arguments[key] = _check(hints[key], value, path)
    return cls(**arguments)


def _check(hint: Any, value: Any, path: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in args:
            raise ConfigError(f"{path} takes one of {', '.join(map(repr, args))}, got {value!r}.")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{path} takes a list, got {value!r}.")
        return tuple(_check(args[0], v, path) for v in value)
    if type(value) is int and (hint is float or float in args):
        return float(value)
    if isinstance(hint, type | types.UnionType) and (not isinstance(value, hint) or (hint is int and value is True)):
        raise ConfigError(f"{path} takes a value of type {getattr(hint, '__name__', hint)}, got {value!r}.")
    return value


def recipe_files(folder: str = "") -> dict[str, Path]:
    """The recipes in a folder of those that come with plaudit, by name."""
    path = Path(str(resources.files("plaudit") / "recipes")) / folder
    return {p.stem: p for p in sorted(path.glob("*.toml"))}


def recipes() -> dict[str, Path]:
    """The recipes that come with plaudit, by name."""
    return recipe_files()


def load_recipe(name: str) -> RunConfig:
    """The recipe of this name, or the TOML file at this path."""
    return read_recipe(RunConfig, name, recipes())


def read_recipe(cls: type[T], name: str, known: dict[str, Path]) -> T:
    """Settings of this kind from a recipe that is known by this name, or from the TOML file at this path."""
    path = Path(name) if name.endswith(".toml") else known.get(name)
    if path is None:
        raise ConfigError(f"there is no recipe {name!r}.{did_you_mean(name, known)} Or give the path of a .toml file.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the recipe {name!r} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the recipe {name!r} is not valid TOML: {error}.") from None
    values.pop("about", None)
    return from_dict(cls, values)


def fingerprint(*parts: Any) -> str:
    """12 hex digits that change when any of these plain values changes."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def shaping_used(config: RunConfig) -> ShapingConfig:
    """The run's switches, but that a program's reward, which is of a step, is no potential: it is maximised as it is."""
    as_it_is = config.route == "code"
    return dataclasses.replace(config.shaping, potential=False, difference=False) if as_it_is else config.shaping


def differences(old: dict[str, Any], new: dict[str, Any], where: str = "") -> list[str]:
    """``train.steps: 1000 -> 2000`` for each value that is not the same."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{where}{key}.")
        elif a != b:
            found.append(f"{where}{key}: {a!r} -> {b!r}")
    return found
