"""What devices exchange in a step that they share, counted in the compiled program.

Oracles: the numbers of parameters and channels. Each gradient crosses once, with the loss and its parts; each of a
block's two BatchNorms has one exchange forwards and one backwards, of mean and variance together; a GRU has none.
"""

import pytest

from experiments.benchmarks.case import Case
from experiments.benchmarks.new_process import run_together
from experiments.benchmarks.planned.count import Collective
from experiments.benchmarks.planned.devices import find_target
from experiments.benchmarks.planned.plan import Exchange, count_step, require_compiler, with_devices
from madsep_jax.config.io import to_dict
from madsep_jax.errors import InputError

pytestmark = pytest.mark.thorough

FLOAT32 = 4
LAYERS, CHANNELS = 3, 16
BLOCKS = LAYERS + 3
#: Where blocks are in the program: the equal ones, and three by themselves.
PLACES = 4
#: The loss and its four terms.
METRICS = 5
#: The optimisation that the tests leave out puts exchanges together.
OPTIMISED = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
SYSTEMS = ("mad", f"dws-{LAYERS}-{CHANNELS}")


def exchanges(systems, target, devices, style="jit", variables=None):
    """The collectives of each system's step, and its parameters."""
    kind = "cpu" if target == "cpu" else find_target(target).kind
    cases = [Case.of(name, "train", devices, None, "quick").changed({"compute.target": kind}) for name in systems]
    arguments = [
        {"target": target, "config": to_dict(case.config), "devices": devices, "style": style} for case in cases
    ]
    found = run_together(count_step, arguments, [{**OPTIMISED, **(variables or {})}] * len(cases))
    of_systems = [[Collective(**one) for one in plan["count"]["collectives"]] for plan in found]
    return dict(zip(systems, zip(of_systems, [case.parameters for case in cases], strict=True), strict=True))


@pytest.fixture(scope="module")
def on_cpu():
    """A GRU and a DWS on four of them, which one processor is made into."""
    flags = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
    return exchanges(SYSTEMS, "cpu", 4, variables={"XLA_FLAGS": flags})


def all_reduced(collectives):
    """How many all-reduces a step has, and the bytes of all of them."""
    found = [one for one in collectives if one.kind == "all-reduce"]
    return sum(one.runs for one in found), sum(one.runs * one.bytes for one in found)


def test_a_gru_exchanges_its_gradient_alone(on_cpu):
    (collective,), parameters = on_cpu["mad"]
    assert not collective.in_loop
    assert all_reduced([collective]) == (1, FLOAT32 * (parameters + METRICS))


def test_a_batch_norm_exchanges_mean_and_variance_together(on_cpu):
    """The compiler may put the last of them with the first gradients, and cuts the latter into at most three."""
    collectives, parameters = on_cpu[SYSTEMS[1]]
    pair = 2 * CHANNELS * FLOAT32
    gathers = [one for one in collectives if one.kind != "all-reduce"]
    assert {(one.kind, one.bytes) for one in gathers} == {("all-gather", pair)}
    assert sum(one.runs for one in gathers) == 2 * BLOCKS
    count, given = all_reduced(collectives)
    assert given == FLOAT32 * (parameters + METRICS) + 2 * BLOCKS * pair
    assert count <= 3 + 2 * BLOCKS
    assert {(one.bytes, one.runs) for one in collectives if one.in_loop} == {(pair, LAYERS)}  # of the equal blocks


@pytest.mark.thorough
@pytest.mark.parametrize(("target", "devices", "most"), [("cuda:h200", 8, 2), ("tpu:v5e:2x2", 4, 1)])
def test_accelerators_exchange_a_gradient_once(target, devices, most):
    """The plan of the target's own compiler; a TPU pads what it sends."""
    found = find_target(target)
    try:
        require_compiler(found)
    except InputError as error:
        pytest.skip(str(error))
    systems = SYSTEMS if found.kind == "gpu" else SYSTEMS[:1]  # the other takes a TPU's compiler minutes
    variables = {**found.variables, "XLA_FLAGS": "", "JAX_OPTIMIZATION_LEVEL": "O1" if found.kind == "tpu" else "O0"}
    for name, (collectives, parameters) in exchanges(systems, target, devices, variables=variables).items():
        largest = max(collectives, key=lambda one: one.bytes)
        assert FLOAT32 * parameters <= largest.bytes <= 1.1 * FLOAT32 * parameters + 4096
        assert sum(one.kind == "all-reduce" and one.bytes < 512 for one in collectives) <= most - 1, name
        assert {one.bytes for one in collectives if one.kind == "all-gather"} <= {2 * CHANNELS * FLOAT32}
        assert len(collectives) == (most if name == "mad" else most + 2 * 2 * PLACES)
        assert not any(one.in_loop for one in collectives if "gru" in one.source.lower())


def test_how_much_a_ring_sends():
    """By hand: of n devices, each sends its part n - 1 times around to reduce, and as often to gather."""
    collectives = [
        Collective(kind="all-reduce", bytes=800, runs=1, in_loop=False, source=""),
        Collective(kind="all-gather", bytes=10, runs=3, in_loop=True, source=""),
        Collective(kind="reduce-scatter", bytes=80, runs=3, in_loop=True, source=""),
    ]
    found = Exchange.of(collectives, 8)
    assert found == Exchange(
        exchanges=7, in_loops=6, given_bytes=800 + 3 * 10 + 3 * 80, largest_bytes=800, sent_bytes=1400 + 3 * (70 + 70)
    )
    assert found.efficiency(1.0, found.sent_bytes) == 0.5
    assert found.efficiency(1.0, float("inf"), 1 / 7) == 0.5
    assert Exchange.of([], 8).efficiency(1.0, 1.0) == 1


def test_a_target_has_so_many_devices():
    assert with_devices(find_target("cuda:h200"), 8).topology == "1x1x8"
    assert with_devices(find_target("tpu:v5e:2x2"), 4).topology == "v5e:2x2"
