"""Two processes train as one; how they find each other, and what is said where they do not."""

import socket
import subprocess
import sys
import threading

import jax
import pytest
from parallel_runs import (
    TOLERANCE,
    assert_same_training,
    case,
    free_port,
    run_cases,
    run_in_two_processes,
)

pytest.importorskip("cyclopts")

from experiments.ablation import main
from madsep_jax.config.parallel import ProcessesConfig
from madsep_jax.errors import InputError
from madsep_jax.parallel.processes import join_processes, process_shard

SHORT = {"system": "mad", "steps": 3}
EPHEMERAL = range(65536 - 2**12, 65536)  # where JAX takes a port by a job's number


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same trainings in one process on one device, in double precision."""
    cases = {"dws": case(devices=1, steps=5), "mad": case(devices=1, **SHORT)}
    return run_cases(cases, tmp_path_factory.mktemp("alone") / "out.npz", "float64", devices=1)


@pytest.mark.thorough
def test_two_processes_train_as_one(alone, tmp_path):
    for found in run_in_two_processes({"jit": case(steps=5)}, tmp_path, "float64", devices_each=2):
        assert_same_training(found["jit"], alone["dws"], 1e-10)


@pytest.mark.thorough
@pytest.mark.parametrize("launcher", ["Slurm", pytest.param("Open MPI", marks=pytest.mark.thorough)])
def test_processes_that_a_launcher_has_started_find_each_other(alone, tmp_path, launcher):
    port = free_port(EPHEMERAL)

    def environment(number):
        if launcher == "Slurm":
            count = {"SLURM_JOB_ID": port - EPHEMERAL[0], "SLURM_NTASKS": 2, "SLURM_STEP_NODELIST": "localhost"}
            return {**count, "SLURM_PROCID": number, "SLURM_LOCALID": number}
        address = f"{(port - EPHEMERAL[0]) * 2**12}.0;tcp://127.0.0.1:1"
        count = {"OMPI_MCA_orte_hnp_uri": address, "OMPI_COMM_WORLD_SIZE": 2}
        return {**count, "OMPI_COMM_WORLD_RANK": number, "OMPI_COMM_WORLD_LOCAL_RANK": number}

    starts = [
        ({"distributed": True}, {name: str(value) for name, value in environment(number).items()})
        for number in range(2)
    ]
    for found in run_in_two_processes({"mad": case(**SHORT)}, tmp_path, "float64", 1, starts):
        assert_same_training(found["mad"], alone["mad"], 1e-10)


@pytest.fixture
def asked(monkeypatch):
    """What JAX is asked to join, in place of its doing so."""
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *given, **more: calls.append((*given, more)))
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    return calls


def test_alone_nothing_is_joined(asked, monkeypatch):
    """Not even beneath Slurm, where it has not been asked for: rows of a sweep are jobs of one process."""
    monkeypatch.setenv("SLURM_NTASKS", "1")
    join_processes(ProcessesConfig())
    assert asked == []
    assert process_shard() == (0, 1)


def test_what_is_not_told_is_left_to_jax(asked):
    join_processes(ProcessesConfig(distributed=True, timeout_s=9))
    join_processes(ProcessesConfig(coordinator="there:1", count=2, number=0))
    assert asked == [
        (None, None, None, {"initialization_timeout": 9}),
        ("there:1", 2, 0, {"initialization_timeout": 300}),
    ]


def test_a_coordinator_that_comes_late_is_waited_for(asked):
    port = free_port()

    def listen():
        with socket.create_server(("127.0.0.1", port)) as server:
            server.accept()[0].close()

    late = threading.Timer(0.3, listen)
    late.start()
    join_processes(ProcessesConfig(coordinator=f"127.0.0.1:{port}", count=2, number=1, timeout_s=20))
    late.join()
    assert asked[0][:3] == (f"127.0.0.1:{port}", 2, 1)


def test_what_jax_cannot_do_is_an_input_error(asked, monkeypatch):
    def refuse(*given, **more):
        raise ValueError("coordinator_address should be defined.\nmore")

    monkeypatch.setattr(jax.distributed, "initialize", refuse)
    with pytest.raises(
        InputError, match=r"did not find each other \(coordinator_address should be defined.\), expected"
    ):
        join_processes(ProcessesConfig(distributed=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--process-id", "2"], "ProcessesConfig.number: found 2, expected 0 to 1"),
        (["--process-id", "1"], "found nothing that listens at 127.0.0.1:{port} within 1 s"),
        ([], "--coordinator, --process-count and --process-id: expected all three or none"),
    ],
)
def test_bad_flags_are_one_line(arguments, message, capsys):
    port = free_port()
    flags = ["--coordinator", f"127.0.0.1:{port}", "--process-count", "2", "--join-timeout", "1"]
    assert main([*flags, *arguments]) == 2
    error = capsys.readouterr().err
    assert message.format(port=port) in error
    assert error.count("\n") == 1


def test_a_launcher_that_is_not_there_is_one_line():
    """In a process of its own: JAX joins none once it has computed."""
    command = [sys.executable, "-m", "experiments.ablation", "--distributed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("ablation: ProcessesConfig.distributed: the processes did not find each other")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("system", "counts"), [("dws", (1, 2, 4)), ("mad", (1, 2, 4)), ("ris", (4,)), ("twinnet", (4,))]
)
def test_any_number_of_devices_in_two_processes(tmp_path, system, counts, dtype):
    """So many devices of each process, out of four: 2, 4 and 8 in all."""
    expected = run_cases({"one": case(devices=1, system=system)}, tmp_path / "one.npz", dtype, devices=1)["one"]
    cases = {f"{style}-{each}": case(style, each, system) for style in ("jit", "pmap") for each in counts}
    for found in run_in_two_processes(cases, tmp_path, dtype, devices_each=4):
        assert set(found) == set(cases)
        for arrays in found.values():
            assert_same_training(arrays, expected, TOLERANCE[dtype])
