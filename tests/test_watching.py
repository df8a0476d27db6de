"""What a training leaves to look at: the lines of its log, its validation, its early end, its trace."""

import gzip
import json
import signal

import numpy as np
import pytest

for package in ("cyclopts", "tensorboardX", "tensorflow", "soundfile"):
    pytest.importorskip(package)

from logged import without_measured
from tiny import GRU
from watched import EPOCH, EPOCHS, Scripted, config, folders, steps_of, train, weights

from experiments.cli.signals import Stopped
from experiments.training.log import read_log
from madsep_jax.checkpoint.folder import load_model
from madsep_jax.config.io import override

PARTS = ["masker", "denoiser", "masker_diagonal_l1", "denoiser_l2"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "row"
    return folder, train(folder, config())


def test_each_line_has_all_there_is_to_see(alone):
    lines = read_log(alone[0], "train")
    assert [line["step"] for line in lines] == list(range(1, EPOCH * EPOCHS + 1))
    memory = ["process_memory_bytes", "process_peak_bytes"]  # of a CPU, which has none of its own
    names = ["step", "loss", "voice", "gradient_norm", "learning_rate", "step_s", "input_wait_s", "sequences_per_s"]
    for line in lines:
        assert sorted(line) == sorted([*names, *memory])
        assert line["sequences_per_s"] == pytest.approx(GRU.training.batch_size / line["step_s"])
        assert line["input_wait_s"] >= 0
        assert line["gradient_norm"] > 0
        assert line["learning_rate"] == pytest.approx(GRU.training.learning_rate)
        assert 2**20 < line["process_memory_bytes"] <= line["process_peak_bytes"]


def test_tensorboard_has_the_same(alone):
    from tensorboardX.proto.event_pb2 import Event
    from tensorflow.data import TFRecordDataset

    (file,) = (alone[0] / "tensorboard").iterdir()
    events = [Event.FromString(record) for record in TFRecordDataset(str(file)).as_numpy_iterator()]
    shown = {(event.step, value.tag): value.simple_value for event in events for value in event.summary.value}
    lines = read_log(alone[0], "train")
    assert len(shown) == sum(len(line) - 1 for line in lines)
    for line in lines:
        for name, value in line.items():
            if name != "step":
                assert shown[line["step"], f"train/{name}"] == pytest.approx(value)


@pytest.mark.parametrize("steps_per_call", [3, 16])
def test_several_steps_a_call_log_the_same(alone, tmp_path, steps_per_call):
    """A call is over at the end of an epoch where there is a validation; its steps share its time."""
    validation = Scripted(4, 3, 2, 1)
    train(tmp_path, config(), steps_per_call=steps_per_call, validation=validation)
    lines, expected = read_log(tmp_path, "train"), read_log(alone[0], "train")
    for line, other in zip(without_measured(lines), without_measured(expected), strict=True):
        assert line == pytest.approx(other, rel=1e-5)
    validated = [(line["step"], line["loss"]) for line in read_log(tmp_path, "validation")]
    assert validated == [(5, 4), (10, 3), (15, 2), (20, 1)]
    assert [step for _, step, _ in validation.seen] == [5, 10, 15, 20]
    times = [line["step_s"] for line in lines]
    size = min(steps_per_call, EPOCH)
    assert len(set(times[:size])) == 1
    assert times[size - 1] != times[size]


def test_seeds_together_log_their_own(alone, tmp_path):
    configs = [config(seed) for seed in range(2)]
    train(tmp_path, *configs, steps_per_call=2)
    first, second = (read_log(folder, "train") for folder in folders(tmp_path, configs))
    expected = without_measured(read_log(alone[0], "train"))
    assert len(first) == len(expected)
    for line, other in zip(without_measured(first[:5]), expected, strict=False):  # later ones magnify rounding
        assert line == pytest.approx(other, rel=1e-4)
    assert [line["step_s"] for line in first] == [line["step_s"] for line in second]
    assert first[0]["loss"] != second[0]["loss"]
    for line in first:
        assert line["sequences_per_s"] == pytest.approx(GRU.training.batch_size / line["step_s"])


def test_recurrent_inference_logs_its_decoder_calls_and_parts(tmp_path):
    run = config(base=override(GRU, {"masker.recurrent_iterations": 2}), **{"training.steps": 2})
    train(tmp_path, run)
    for line in read_log(tmp_path, "train"):
        assert line["decoder_calls"] in (2, 3)
        assert set(PARTS) < set(line)


def stopping(patience, seed=0, **more):
    return config(seed, **{"training.early_stopping.patience": patience, **more})


def test_a_training_ends_once_its_validation_says_so(alone, tmp_path):
    """Worse after the second epoch, patience 2: the end is after the fourth of more; and it is not gone on with."""
    run = stopping(2, **{"training.epochs": 9})
    validation = Scripted(3, 2, 2.5, 2.1, 1, 1, 1, 1, 1)
    result = train(tmp_path, run, validation=validation)
    assert (result.steps, result.stopped_early) == (20, True)
    content = json.loads((tmp_path / "training.json").read_text())
    assert (content["steps"], content["stopped_early"]) == (20, True)
    lines = read_log(tmp_path, "train")
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert without_measured(lines) == without_measured(read_log(alone[0], "train"))
    assert [line["step"] for line in read_log(tmp_path, "validation")] == [5, 10, 15, 20]
    assert steps_of(tmp_path)[-1] == 20
    assert train(tmp_path, run, validation=None) == result
    assert read_log(tmp_path, "train") == lines


def test_a_training_that_was_killed_before_it_could_say_so_ends_at_the_same_step(tmp_path):
    run = stopping(1)
    result = train(tmp_path, run, validation=Scripted(1, 1, 0, 0))
    (tmp_path / "training.json").unlink()
    again = train(tmp_path, run, validation=Scripted(1, 1, 0, 0))
    assert (again.steps, again.stopped_early) == (result.steps, True) == (10, True)
    assert [line["step"] for line in read_log(tmp_path, "train")] == list(range(1, 11))


def test_patience_is_counted_over_an_interruption(tmp_path):
    """Told to stop between the second and the third validation."""
    run = stopping(2)

    def interrupt(step, values):
        if step == 12:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped):
        train(tmp_path, run, validation=Scripted(1, 2, 3, 4), on_step=interrupt)
    assert [line["step"] for line in read_log(tmp_path, "validation")] == [5, 10]
    result = train(tmp_path, run, validation=Scripted(1, 2, 3, 4))
    assert (result.steps, result.stopped_early) == (15, True)
    assert [line["step"] for line in read_log(tmp_path, "train")] == list(range(1, 16))


def test_the_best_weights_are_kept(tmp_path):
    """Those of the second of five validations, of which the last three checkpoints have none."""
    validation = Scripted(3, 1, 2, 2, 2)
    run = config(**{"training.epochs": 5})
    train(tmp_path, run, validation=validation)
    _, variables = load_model(tmp_path / "checkpoint", "best")
    (expected,) = [kernel for _, step, kernel in validation.seen if step == 10]
    np.testing.assert_array_equal(weights(variables), expected)


def test_an_end_at_the_last_step_is_no_early_one(tmp_path):
    result = train(tmp_path, stopping(3), validation=Scripted(1, 1, 1, 1))
    assert (result.steps, result.stopped_early) == (20, False)


class OfSeeds(Scripted):
    """Losses by seed."""

    def measure(self, config, *rest):
        return {"loss": super().measure(config, *rest)["loss"][config.training.seed]}


def test_of_seeds_together_each_ends_by_itself(alone, tmp_path):
    """The first after ten steps, the second not at all: logs, checkpoints and results are each one's own."""
    configs = [stopping(1, seed) for seed in range(2)]
    validation = OfSeeds((1, 4), (1, 3), (0, 2), (0, 1))
    results = train(tmp_path, *configs, validation=validation)
    assert [(result.steps, result.stopped_early) for result in results] == [(10, True), (20, False)]
    first, second = folders(tmp_path, configs)
    assert [line["step"] for line in read_log(first, "train")] == list(range(1, 11))
    assert [line["step"] for line in read_log(second, "train")] == list(range(1, 21))
    for folder, step in ((first, 10), (second, 20)):
        assert steps_of(folder)[-1] == step
    assert [(seed, step) for seed, step, _ in validation.seen] == [(0, 5), (1, 5), (0, 10), (1, 10), (1, 15), (1, 20)]


@pytest.mark.parametrize("steps_per_call", [1, 2])
def test_a_profile_is_a_trace_of_steps(tmp_path, steps_per_call):
    said = []
    train(tmp_path, config(), profile_steps=2, steps_per_call=steps_per_call, say=said.append)
    (trace,) = (tmp_path / "profile").rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert len([event for event in events if event.get("name", "").startswith("call")]) == 2 // steps_per_call
    assert any((tmp_path / "profile").rglob("*.xplane.pb"))
    (line,) = said
    assert str(trace) in line
    assert "https://ui.perfetto.dev" in line
    assert f"xprof --logdir {tmp_path / 'profile'}" in line


def test_a_training_too_short_for_a_late_profile_is_traced_too(tmp_path):
    said = []
    train(tmp_path, config(**{"training.steps": 2}), profile_steps=5, say=said.append)
    assert any((tmp_path / "profile").rglob("*.trace.json.gz"))
    assert said[0].startswith("Trace of 2 calls")


def test_a_training_without_a_step_left_has_no_trace(tmp_path):
    train(tmp_path, config(**{"training.steps": 2}))
    (tmp_path / "training.json").unlink()
    said = []
    train(tmp_path, config(**{"training.steps": 2}), profile_steps=5, say=said.append)
    assert said == [f"{tmp_path / 'profile'}: no trace, as no step was trained"]
