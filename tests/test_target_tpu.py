"""What every command runs, compiled for a TPU that is not there: a system that trains there is scored there, too.

The oracle is the TPU's compiler, which refuses what the chip does not have, as a Fourier transform in float64. Small
models of the quick preset's signal, whose Fourier transforms are of the length of the users', at O1: a program that is
optimised less is refused for the same reasons.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from tiny import enable_float64

from experiments.benchmarks.case import Case
from experiments.benchmarks.planned.devices import find_target
from experiments.benchmarks.planned.plan import topology_devices
from experiments.coupling_maps import fit as coupling_maps
from madsep_jax import export, separation
from madsep_jax.config.presets import preset_config
from madsep_jax.couplings import fit as couplings
from madsep_jax.models.variables import inference_variables
from madsep_jax.signal import stft
from madsep_jax.train import losses, step
from madsep_jax.train.batch import zero_batch

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu, the TPU's compiler, is missing"),
]

TARGET = find_target("tpu:v5e:2x2")
SIGNAL = preset_config("quick").signal
SMALL = {"compute.target": TARGET.kind, "sequences.frames": 24, "sequences.context": 4}


@pytest.fixture(scope="module")
def chip():
    """Where the arguments lie: on the first chip of the topology."""
    before = jax.config.jax_optimization_level
    jax.config.update("jax_optimization_level", "O1")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in TARGET.variables.items():
            patch.setenv(name, value)
        yield jax.sharding.SingleDeviceSharding(topology_devices(TARGET)[0])
    jax.config.update("jax_optimization_level", before)


def case(system: str, mode: str = "forward", **changes: Any) -> Case:
    return Case.of(system, mode, 2, None, "quick").changed({**SMALL, **changes})


def float32(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def int32() -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((), jnp.int32)


def train_step(system: str, **changes: Any) -> Any:
    one = case(system, "train", **changes)
    state, _ = one.shapes()
    return one.jitted(), (state, jax.eval_shape(lambda: zero_batch(one.config)))


def initial_state(system: str) -> Any:
    return step._initial_state, (case(system).config, int32())


def spectrograms() -> Any:
    samples = (stft._BLOCK_FRAMES - 1) * SIGNAL.hop_length + SIGNAL.window_length
    return stft._block_magnitudes, (float32(samples), SIGNAL)


def ideal_ratio_mask() -> Any:
    there_and_back = jax.jit(lambda x_CN: stft.istft(stft.stft(x_CN, SIGNAL), x_CN.shape[-1], SIGNAL))
    return there_and_back, (float32(2, 40 * SIGNAL.hop_length),)


def validation_loss(system: str) -> Any:
    one = case(system, "train")
    state, batch = one.shapes()
    return losses._jitted_sums(TARGET.kind), (one.config.model, one.config.loss, state.variables, batch, int32())


def separation_block(system: str, each_channel: bool = False) -> Any:
    config = case(system).config
    variables = jax.eval_shape(lambda: inference_variables(config, step.init_state(config).variables))
    frames = 2 * config.sequences.target_frames + 2 * config.sequences.context
    block_CN = float32(2, (frames - 1) * SIGNAL.hop_length + SIGNAL.window_length)
    arguments = (config, variables, block_CN, int32(), int32(), float32(), 2, each_channel)
    return separation._jitted_block(TARGET.kind), arguments


def coupling_pairs(system: str) -> Any:
    one = case(system)
    variables, mag_BSF = one.shapes()
    return coupling_maps._estimate, (one.config, variables, mag_BSF)


def couplings_fit() -> Any:
    """The compositional form; the student's is its last layer alone."""
    bins, frames, rate = 65, 40, 1e-3
    matrices = (float32(bins, bins),) * 2
    state = couplings._FitState(matrices, jax.eval_shape(optax.adam(rate).init, matrices))
    layers = (couplings.Layer(float32(bins, bins), float32(bins)),) * 2
    return couplings._advance, (state, layers, float32(frames, bins), float32(frames, bins), 2, rate)


def exported(system: str) -> Any:
    one = case(system)
    variables, mag_BSF = one.shapes()
    program = export.export_forward(one.config, variables)
    assert program.platforms == ("tpu",)
    return jax.jit(program.call), (variables, mag_BSF)


def exported_train_step(system: str) -> Any:
    one = case(system, "train")
    state, batch = one.shapes()
    program = export.export_train_step(one.config, state)
    assert program.platforms == ("tpu",)
    return jax.jit(export.train_step_of(program)), (state, batch)


def timed_forward(system: str) -> Any:
    one = case(system)
    return one.jitted(), one.shapes()


#: By the commands that run it.
PROGRAMS: dict[str, Callable[[], Any]] = {
    "ablation, songs: spectrograms": spectrograms,
    "ablation, ideal ratio mask": ideal_ratio_mask,
    "ablation, initial state: mad": lambda: initial_state("mad"),
    "ablation, initial state: dws": lambda: initial_state("dws-2-8"),
    "ablation, training: mad": lambda: train_step("mad"),
    "ablation, training: mad-twinnet": lambda: train_step("mad-twinnet"),
    "ablation, training: dws": lambda: train_step("dws-2-8"),
    "ablation, training on waveforms: dae": lambda: train_step("dae", **{"data.features": "waveform"}),
    "ablation, validation: mad": lambda: validation_loss("mad"),
    "ablation, validation: dws": lambda: validation_loss("dws-2-8"),
    "ablation, evaluate, separate: mad": lambda: separation_block("mad"),
    "ablation, evaluate, separate: dws": lambda: separation_block("dws-2-8"),
    "separate, channels that cancel: dae": lambda: separation_block("dae", each_channel=True),
    "couplings, pairs: dae": lambda: coupling_pairs("dae"),
    "couplings, fit": couplings_fit,
    "export, inference: mad": lambda: exported("mad"),
    "export, inference: dws": lambda: exported("dws-2-8"),
    "export, training: dae": lambda: exported_train_step("dae"),
    "throughput, forward: mad": lambda: timed_forward("mad"),
    "throughput, forward: dws": lambda: timed_forward("dws-2-8"),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_compiles(program, chip):
    def on_chip(leaf: Any) -> Any:
        is_array = isinstance(leaf, jax.ShapeDtypeStruct)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=chip) if is_array else leaf

    jitted, arguments = PROGRAMS[program]()
    compiled = jitted.lower(*jax.tree.map(on_chip, arguments)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes >= 0


def test_a_program_that_a_tpu_does_not_have_is_refused(chip):
    """That of the scores, so that the rehearsal would have seen it."""
    with enable_float64():
        x_N = jax.ShapeDtypeStruct((64,), jnp.float64, sharding=chip)
        lowered = jax.jit(jnp.fft.rfft).lower(x_N)
        with pytest.raises(jax.errors.JaxRuntimeError, match="FFT"):
            lowered.compile()
