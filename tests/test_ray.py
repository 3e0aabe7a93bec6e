"""Workers of a local Ray: nothing is lost when one dies, curves are those of this process, what goes wrong is one line."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from ray_models import Refusing, broken, logged, poisoned

from plaudit.budget import Budget
from plaudit.config import ClusterConfig, ConfigError, LLMConfig, RunConfig, from_dict, to_dict
from plaudit.config_rules import validate
from plaudit.errors import ClusterError, LLMError
from plaudit.llms.base import Request
from plaudit.llms.ledger import Ledger, LedgerLLM
from plaudit.llms.on_ray import Engine, RayLLM
from plaudit.llms.scripted import ScriptedLLM
from plaudit.stages.board import Board
from plaudit.stages.cluster import check, connect, room, spread
from plaudit.stages.parts import make_served, place_llm
from plaudit.stages.train import Job, run_jobs, train_agent
from plaudit.store import LATER, Run, load_tree, read_json, read_table, write_json

HERE = ClusterConfig(on="ray", workers=2, block=16)
EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("PLAUDIT_CHECKPOINT_SECONDS", "0")
        ray = connect(HERE)  # its workers find ray_models
    yield ray
    ray.shutdown()


def questions(count: int) -> list[Request]:
    return [Request(f"question {'long ' * (i % 7)}{i}", answers=(" Yes", " No")) for i in range(count)]


def test_a_worker_killed_in_the_middle_loses_nothing_and_duplicates_nothing(cluster, tmp_path):
    log, asked = tmp_path / "asked", questions(300)
    model, ledger = spread(partial(logged, log, 0.005), HERE), Ledger(tmp_path / "ledger.sqlite")
    assert isinstance(model, RayLLM) and model.name == ScriptedLLM().name  # so ledgers are shared with local runs
    llm, came, killed = LedgerLLM(model, ledger), [], []

    def arrived(place: int, reply: object) -> None:
        came.append(place)
        if len(came) == 100:
            killed.append(model.processes[0])
            os.kill(killed[0], signal.SIGKILL)

    replies = llm.choose([*asked, *asked[:50]], arrived)
    assert [r.logprobs[0] for r in replies[:300]] == [-1 - len(r.prompt) / 1e3 for r in asked]
    assert replies[:50] == replies[300:] and all(r.status == "ok" for r in replies)
    assert sorted(came) == list(range(350))
    assert ledger.spend().answers == 300 and len(ledger.find([r.key(llm.name) for r in asked])) == 300
    lines = log.read_text().splitlines()
    assert 0 < model.asked_again <= 2 * HERE.block  # one block under way, one waiting
    assert 300 <= len(lines) <= 300 + model.asked_again
    assert llm.choose(asked) == replies[:300] and len(log.read_text().splitlines()) == len(lines)
    deadline = time.monotonic() + 60
    while len(model.processes) < 2 and time.monotonic() < deadline:  # it is being started again
        model.choose(questions(8))
    assert len(model.processes) == 2 and killed[0] not in model.processes
    llm.close()
    ledger.close()


@pytest.mark.slow
def test_what_kills_every_worker_is_a_failure_and_not_the_end(cluster):
    model = RayLLM(poisoned, 2, block=1)
    replies = model.choose([Request(p, answers=("A", "B")) for p in ("one", "poison", "two", "three")])
    assert [r.status for r in replies] == ["ok", "error", "ok", "ok"] and "workers died" in replies[1].error
    model.close()


def test_what_goes_wrong_is_told_as_itself(cluster):
    with pytest.raises(LLMError, match=r"^the weights are damaged\. Fetch them again\.$"):
        spread(broken, HERE)
    model = RayLLM(Refusing, 2)
    with pytest.raises(LLMError, match=r"^the key is refused"):
        model.choose(questions(5))
    with pytest.raises(ZeroDivisionError, match=r"^a defect$"):
        model.choose([Request("defect", answers=("A", "B"))])
    model.close()
    with pytest.raises(ClusterError, match=r"no room for a worker of 1 CPU and 1 GPU.*0 GPU"):
        room(cluster, dataclasses.replace(HERE, gpus=1.0))
    assert room(cluster, HERE) >= 2
    error = Engine(ScriptedLLM, ".").load("0.0.1").error
    assert error is not None and "plaudit" in str(error) and "0.0.1" in str(error)


def train_here_and_there(folder: Path, steps: int, during: Callable[[], None] = lambda: None) -> list[Path]:
    """The folders of the same agent, trained in this process and on the cluster."""
    train = {"steps": steps, "num_envs": 16, "horizon": 32, "seeds": 1, "controls": []}
    config = from_dict(RunConfig, {"route": "task", "world": {"size": 5}, "train": train})
    here, there = (
        Run.create(folder / name, dataclasses.replace(config, cluster=cluster))
        for name, cluster in (("here", ClusterConfig()), ("there", HERE))
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train_agent(here, "task", 0)
    torch.set_num_threads(threads)
    there.stage("train")
    thread = threading.Thread(target=during)
    thread.start()
    assert run_jobs([Job(there.folder, "task", 0)], 0, steps, Budget(), HERE) == {}
    thread.join()
    return [run.folder / "train/task-0" for run in (here, there)]


def assert_same(folders: list[Path]) -> None:
    tables = [read_table(folder / "curve.parquet") for folder in folders]
    curves = [[{k: v for k, v in row.items() if k != "seconds"} for row in table] for table in tables]
    agents = [load_tree(folder / "agent.safetensors") for folder in folders]
    assert curves[0] == curves[1] and len(curves[0]) >= 4
    assert agents[0]["settings"] == agents[1]["settings"]
    assert all((value == agents[1]["net"][key]).all() for key, value in agents[0]["net"].items())


def test_training_on_the_cluster_is_training_here(cluster, tmp_path):
    assert_same(train_here_and_there(tmp_path, 2048))
    nowhere = Job(tmp_path / "nowhere", "task", 0)
    [(job, said)] = run_jobs([nowhere], 0, 100, Budget(), HERE).items()
    assert job == nowhere and "cannot see" in said and "--out /SHARED/NAME" in said


def test_each_worker_can_have_a_server_of_its_own(cluster):
    command = f"{sys.executable} {Path(__file__).parent / 'openai_echo.py'} {{port}}"
    there = dataclasses.replace(HERE, serve=command)
    config = RunConfig(llm=LLMConfig(model="openai:echo"), cluster=there)
    validate(config)
    llm = place_llm(config)
    assert llm.name.startswith("openai:echo@workers:plain=")  # the same in the ledger, whatever the port
    replies = llm.choose([Request(f"banana {i}", answers=(" Yes", " No")) for i in range(40)])
    assert {r.status for r in replies} == {"ok"}
    llm.close()
    deadline = time.monotonic() + 20
    while servers_of(command) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not servers_of(command)
    for bad, said in (
        (f"{sys.executable} -c 1/0 {{port}}", "ZeroDivisionError"),
        ("nothing-here {port}", "cannot start"),
    ):
        with pytest.raises(LLMError, match=said):
            make_served(bad, config.llm)
    with pytest.raises(ConfigError, match=r"cluster\.serve must be one with \{port\}"):
        validate(dataclasses.replace(config, cluster=dataclasses.replace(there, serve="vllm serve")))


def servers_of(command: str) -> list[str]:
    """Processes of this command that are alive."""
    script = command.split()[1].encode()
    alive = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            alive += [process.name] if script in words and len(words) == 4 else []
    return alive


@pytest.mark.slow
def test_training_whose_worker_is_killed_goes_on_from_its_checkpoint(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    killed = []

    def kill() -> None:
        deadline = time.monotonic() + 120
        while not list(tmp_path.rglob("checkpoint.safetensors")) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "cwd").readlink() == tmp_path and b"_train" in (process / "cmdline").read_bytes():
                    killed.append(int(process.name))
                    os.kill(killed[-1], signal.SIGKILL)

    folders = train_here_and_there(tmp_path, 65_536, kill)
    assert len(killed) == 1
    assert_same(folders)


def test_a_wrong_address_is_one_line_at_once(tmp_path):
    start = time.perf_counter()
    with pytest.raises(ClusterError, match=r"no Ray cluster at 127\.0\.0\.1:1: .*refused.*ray start"):
        check(ClusterConfig(on="127.0.0.1:1"))
    command = [sys.executable, "-m", "plaudit.cli", "run", "doorkey", "--on", "127.0.0.1:1", "--out", "r"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == ClusterError.exit_code and result.stderr.count("\n") == 1
    assert "no Ray cluster at 127.0.0.1:1" in result.stderr and not (tmp_path / "r").exists()
    assert time.perf_counter() - start < 30
    for on in ("there", "ray://there", "host:port"):
        with pytest.raises(ConfigError, match=r"cluster\.on must be local, ray, auto"):
            validate(RunConfig(cluster=ClusterConfig(on=on)))


def test_where_it_ran_is_not_what_it_is(tmp_path):
    run = Run.create(tmp_path / "r", RunConfig())
    there = dataclasses.replace(RunConfig(), cluster=ClusterConfig(on="10.0.0.1:6379", workers=9, gpus=1.0))
    again = Run.create(tmp_path / "r", there)
    assert again.config.cluster.workers == 9
    assert [again.expected(s) for s in ("annotate", "evaluate")] == [run.expected(s) for s in ("annotate", "evaluate")]
    board = Board.open(tmp_path / "c", RunConfig(), [], Budget())
    board.save()
    Board.open(tmp_path / "c", there, [], Budget())
    older = read_json(tmp_path / "c" / "compare.json")
    del older["config"]["cluster"]  # as before there were clusters, adapters and people's labels
    for section, key in LATER:
        del older["config"][section][key]
    write_json(tmp_path / "c" / "compare.json", older)
    Board.open(tmp_path / "c", there, [], Budget())
    assert "cluster" in to_dict(there)


def test_the_recipes_for_clusters_are_whole():
    job = yaml.safe_load((EXAMPLES / "kubernetes-rayjob.yaml").read_text())
    assert job["kind"] == "RayJob" and "plaudit compare" in job["spec"]["entrypoint"]
    groups = job["spec"]["rayClusterSpec"]
    for group in (groups["headGroupSpec"], *groups["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]} and container["resources"]["limits"]
    script = EXAMPLES / "slurm.sbatch"
    assert subprocess.run(["bash", "-n", script], capture_output=True).returncode == 0
    assert "ray symmetric-run" in script.read_text() and "--on auto" in script.read_text()
