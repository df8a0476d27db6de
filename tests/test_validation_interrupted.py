"""A signal during a validation, which then is not done, loses nothing: it is done when the training goes on.

Oracle: the same training left alone, whose log, validation and best checkpoint are those.
"""

import signal

import numpy as np
import pytest

for package in ("cyclopts", "tensorboardX", "tensorflow", "soundfile"):
    pytest.importorskip(package)

from logged import without_measured
from watched import EPOCH, Scripted, config, steps_of, train, weights

from experiments.cli.signals import Stopped
from experiments.training.log import read_log
from madsep_jax.checkpoint.folder import load_model
from madsep_jax.config.io import override

LOSSES = (3, 1, 2, 2, 2)  # the second is the best, and the last three checkpoints are kept without it
RUN = {"training.epochs": len(LOSSES)}


class Interrupted(Scripted):
    """Is sent a signal in its validation after some step, each time that it comes there."""

    def __init__(self, at_step):
        super().__init__(*LOSSES)
        self.at_step = at_step

    def measure(self, config, variables, step, steps_per_epoch):
        if step == self.at_step:
            signal.raise_signal(signal.SIGTERM)
        return super().measure(config, variables, step, steps_per_epoch)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "row"
    train(folder, config(**RUN), validation=Scripted(*LOSSES))
    return folder


def assert_same(folder, alone):
    assert without_measured(read_log(folder, "train")) == without_measured(read_log(alone, "train"))
    assert read_log(folder, "validation") == read_log(alone, "validation")
    for which in ("best", "latest"):
        (_, found), (_, expected) = (load_model(row / "checkpoint", which) for row in (folder, alone))
        np.testing.assert_array_equal(weights(found), weights(expected))


@pytest.mark.parametrize("step", [2 * EPOCH, len(LOSSES) * EPOCH])
def test_its_score_is_that_of_the_checkpoint(alone, tmp_path, step):
    """At the best one, and at the last step, after which the training would count as finished."""
    for _ in range(2):  # and once more while it is made up for
        with pytest.raises(Stopped, match=f"step {step} of {len(LOSSES) * EPOCH} is saved"):
            train(tmp_path, config(**RUN), validation=Interrupted(step))
        assert read_log(tmp_path, "train")[-1]["step"] == step  # not a step is trained before it is validated
        assert steps_of(tmp_path)[-1] == step
        assert not (tmp_path / "training.json").exists()
    train(tmp_path, config(**RUN), validation=Scripted(*LOSSES))
    assert_same(tmp_path, alone)


def test_killed_between_the_log_and_the_score(alone, tmp_path, monkeypatch):
    """What is in the log is not measured again, and still becomes the checkpoint's."""
    with pytest.raises(Stopped):
        train(tmp_path, config(**RUN), validation=Interrupted(2 * EPOCH))

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.training.saving.Saver.add_scores", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, config(**RUN), validation=Scripted(*LOSSES))
    monkeypatch.undo()
    validation = Scripted(*LOSSES)
    train(tmp_path, config(**RUN), validation=validation)
    assert [step for _, step, _ in validation.seen] == [3 * EPOCH, 4 * EPOCH, 5 * EPOCH]
    assert_same(tmp_path, alone)


def test_a_training_that_ends_there_ends_once_it_is_validated(tmp_path):
    run = override(config(**RUN), {"training.early_stopping.patience": 1})
    with pytest.raises(Stopped):
        train(tmp_path, run, validation=Interrupted(3 * EPOCH))
    result = train(tmp_path, run, validation=Scripted(*LOSSES))
    assert (result.steps, result.stopped_early) == (3 * EPOCH, True)
