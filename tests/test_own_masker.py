"""A masker of somebody's own: the page's example is a whole system, and each break of the contract is one clear line.

Oracle: the contract as the page has it; what came out before a checkpoint was saved.
"""

import json
import re
import sys

import jax
import numpy as np
import pytest
from pages import text_of
from tiny import SEQUENCES, SIGNAL, assert_close, magnitudes

from madsep_jax import AutoencoderConfig, InputError, RunConfig, TrainingConfig, build_model
from madsep_jax.checkpoint.folder import load_config, load_model, save_checkpoint
from madsep_jax.config.io import from_dict, to_dict
from madsep_jax.config.own import OwnConfig, file_name, parse_name
from madsep_jax.config.systems import expand, mark_of, place_of, system_name
from madsep_jax.export import export_forward
from madsep_jax.interop.exported import read_model, write_model
from madsep_jax.models import outside
from madsep_jax.models.contract import config_of
from madsep_jax.models.cost import forward_gflop_per_second
from madsep_jax.models.outside import load_code
from madsep_jax.models.variables import parameter_counts
from madsep_jax.train.batch import Batch
from madsep_jax.train.step import init_state, make_train_step

PAGE = "experiments/README.md"
BASE = RunConfig(
    signal=SIGNAL,
    sequences=SEQUENCES,
    masker=AutoencoderConfig(),
    training=TrainingConfig(batch_size=2, learning_rate=1e-2),
)
BINS = SIGNAL.bins
SMALL = "my_masker.py:TcnMasker(blocks=2, channels=6)"


def example():
    """The page's whole example."""
    (text,) = [block for block in re.findall(r"^```python\n(.*?)^```", text_of(PAGE), re.S | re.M) if "Tcn" in block]
    return text


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder with the example, in which nothing is loaded."""
    monkeypatch.setattr(outside, "_LOADED", {})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_masker.py").write_text(example())
    return tmp_path


def batch():
    mix_BSF = magnitudes(2, SEQUENCES.frames, BINS)
    return Batch(mix_BSF, 0.3 * mix_BSF[:, SEQUENCES.context : -SEQUENCES.context])


def test_the_example_is_short():
    assert len(example().splitlines()) <= 40


def test_a_name_says_file_class_and_settings():
    assert parse_name("a b/c (1).py:Net") == ("a b/c (1).py", "Net", ())
    assert parse_name("p.m:Net(b='x:y', a=(1, -2))") == ("p.m", "Net", ("a=(1, -2)", "b='x:y'"))
    assert file_name("../x/my_masker.py:TcnMasker(blocks=2,channels=64)") == "TcnMasker-blocks-2-channels-64"
    assert file_name("ideal ratio mask") == "ideal-ratio-mask"
    assert len({file_name(f"m.py:N(a={value})") for value in (1, -1, 1.5, "'1'", True)}) == 4  # '1' as 1
    for settings in ("(3)", "(a=b)", "(**{})", "(a=1", "(a=__import__('os'))", "(a=1)(b=2)", "(a=1, a=2)"):
        with pytest.raises(InputError, match=r"found the settings|expected FILE\.py:CLASS"):
            parse_name(f"m.py:Net{settings}")


def test_configurations_keep_it_and_no_file_is_run_for_them():
    config = OwnConfig.of(SMALL)
    assert config.source == "my_masker.py:TcnMasker"
    assert config.settings == ("blocks=2", "channels=6")
    run = RunConfig(signal=SIGNAL, sequences=SEQUENCES, masker=config)
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(run)))) == run
    assert system_name(run) == SMALL
    assert expand((SMALL, "mad"), (), ()) == [SMALL, "mad"]
    assert mark_of("gone.py:Net") == "X"
    assert place_of("gone.py:Net") > place_of("dws-5-64")
    assert not outside._LOADED
    with pytest.raises(InputError, match=r"my_masker\.py:TcnMasker: is code of .* add --code my_masker\.py with"):
        build_model(run.model)


def test_the_example_trains_by_eq_11_and_is_counted():
    """Oracle: the diagonal by hand; the sizes of dense layers, convolutions and norms by hand."""
    config = config_of(SMALL, BASE)
    state, step = init_state(config), jax.jit(make_train_step(config))
    kernel = np.asarray(state.params["masker"]["to_mask"]["kernel"])
    losses = []
    for number in range(20):
        state, metrics = step(state, batch())
        losses.append(float(metrics["loss"]))
        if number == 0:
            assert metrics["masker_diagonal_l1"] == pytest.approx(1e-2 * np.abs(np.diagonal(kernel)).sum(), rel=1e-5)
    assert losses[-1] < 0.9 * losses[0]
    block = 3 * 6 * 6 + 6 + 2 * 6
    assert parameter_counts(config.model)["masker"] == BINS * 6 + 6 + 2 * block + 6 * BINS + BINS
    assert forward_gflop_per_second(config) > 0


CUT = """
import jax.numpy as jnp
from flax import linen as nn

class Net(nn.Module):
    context_frames: int = 0

    def __call__(self, mag_BSF, train):
        frames = mag_BSF.shape[1]
        mask_BSF = jnp.ones_like(mag_BSF) * jnp.arange(frames, dtype=float)[:, None]
        return mask_BSF[:, self.context_frames : frames - self.context_frames]
"""


def test_a_mask_of_all_frames_and_one_of_the_middle_ones_are_the_same(folder):
    (folder / "cut.py").write_text(CUT)
    (folder / "whole.py").write_text(CUT.replace("mask_BSF[:, self", "mask_BSF  # [:, self"))
    found = []
    for name in ("cut.py:Net", "whole.py:Net"):
        model = build_model(config_of(name, BASE).model)
        variables = model.init(jax.random.key(0), batch().mix_BSF)
        found.append(model.apply(variables, batch().mix_BSF).masker_BTF)
    np.testing.assert_array_equal(*found)
    middle_T = np.arange(SEQUENCES.context, SEQUENCES.frames - SEQUENCES.context, dtype=np.float32)
    np.testing.assert_allclose(found[0], batch().mix_BSF[:, SEQUENCES.context : -SEQUENCES.context] * middle_T[:, None])


def test_a_checkpoint_an_exported_program_and_a_file_are_the_model(folder):
    config = config_of(SMALL, BASE)
    state = init_state(config)
    save_checkpoint(folder / "checkpoint", config, state)
    loaded, variables = load_model(folder / "checkpoint")
    assert loaded == config
    jax.tree.map(np.testing.assert_array_equal, variables, state.variables)
    exported = export_forward(config, variables).call(variables, batch().mix_BSF)
    expected = build_model(config.model).apply(state.variables, batch().mix_BSF)
    assert_close(exported["voice_BTF"], expected.voice_BTF, 1e-6)
    pytest.importorskip("safetensors")
    write_model(folder / "m.safetensors", config, variables, 0.5)
    again, read, level = read_model(folder / "m.safetensors")
    assert (again, level) == (config, 0.5)
    jax.tree.map(np.testing.assert_array_equal, read, state.variables)


def test_a_checkpoint_needs_the_code_that_it_was_trained_with(folder, monkeypatch):
    config = config_of(SMALL, BASE)
    save_checkpoint(folder / "checkpoint", config, init_state(config))
    monkeypatch.setattr(outside, "_LOADED", {})
    assert load_config(folder / "checkpoint") == config
    with pytest.raises(InputError, match=r"add --code my_masker\.py"):
        load_model(folder / "checkpoint")
    (folder / "other").mkdir()
    (folder / "my_masker.py").rename(folder / "other" / "renamed.py")
    load_code(str(folder / "other" / "renamed.py"))  # the same text
    load_model(folder / "checkpoint")

    monkeypatch.setattr(outside, "_LOADED", {})
    (folder / "my_masker.py").write_text(example() + "\n# a word more\n")
    load_code("my_masker.py")
    with pytest.raises(InputError, match=r"my_masker\.py: has changed since .* --accept-changed-source"):
        load_model(folder / "checkpoint")
    load_code("my_masker.py", accept_changed=True)
    load_model(folder / "checkpoint")


def test_a_module_of_a_package(folder):
    (folder / "my_package").mkdir()
    (folder / "my_package" / "__init__.py").touch()
    (folder / "my_package" / "maskers.py").write_text(example())
    try:
        config = config_of("my_package.maskers:TcnMasker(blocks=1)", BASE)
        assert config.masker.source == "my_package.maskers:TcnMasker"
    finally:
        for name in ("my_package", "my_package.maskers"):
            sys.modules.pop(name, None)
    with pytest.raises(InputError, match=r"my_package\.masker: found no such module"):
        config_of("my_package.masker:TcnMasker", BASE)


RETURN = 'return nn.relu(nn.Dense(mag_BSF.shape[-1], name="to_mask")(h_BSC))'
CALL = "def __call__(self, mag_BSF: jax.Array, train: bool) -> jax.Array:"
BROKEN = {
    "shape": (RETURN, RETURN + "[..., 1:]", "", rf"found a mask of shape \(2, \d+, {BINS - 1}\), expected \(2, \d+, "),
    "frames": (RETURN, RETURN + "[:, 1:]", "", r"found a mask of shape \(2, 7, .*expected \(2, 4, .*\(2, 8, "),
    "negative": ("return nn.relu(", "return (", "", r"found a mask as low as -\d.* at init, .*expected 0 or more"),
    "setting": ("", "", "(chanels=3)", r"found no setting 'chanels', did you mean 'channels'\?"),
    "type of a setting": ("", "", "(channels='3')", r"channels: found '3', expected int"),
    "no type": ("blocks: int = 4", "blocks = 4", "(blocks=3)", r"no setting 'blocks', which has no type there"),
    "no default": ("channels: int = 64", "channels: int", "", r"found no default of channels, expected one, or"),
    "collection": (RETURN, f"self.variable('cache', 'seen', lambda: 0.0); {RETURN}", "", r"found variables in cache"),
    "NaN": (RETURN, RETURN + " / 0 * 0", "", r"found NaN or infinity in the mask of noise at init"),
    "silence": (RETURN, RETURN + " + 1 / mag_BSF.sum((1, 2), keepdims=True)", "", r"in the mask of silence at init"),
    "parameters": ("name=\"to_mask\"", "name=\"to_mask\", bias_init=nn.initializers.constant(float('nan'))", "",
                   r"found NaN or infinity in params/to_mask/bias at init"),
    "frames in variables": (RETURN, f"self.param('p', nn.initializers.zeros, mag_BSF.shape[1:2]); {RETURN}", "",
                            r"found variables that depend on the number of frames"),
    "last layer": ('("to_mask",)', '("mask_layer",)', "", r"found last_layer = \('mask_layer',\), expected the names"),
    "arguments": (CALL, CALL.replace(", train: bool", ""), "", r"found __call__\(self, mag_BSF.*expected __call__\("),
    "another key": (RETURN, f"self.make_rng('noise') if train else 0; {RETURN}", "", r"noise"),
    "two results": (RETURN, RETURN + ", h_BSC", "", r"found a tuple, expected the mask alone"),
    "no module": ("(nn.Module)", "", "", r"found type TcnMasker, expected a class \(of flax\.linen\.Module\)"),
    "syntax": (RETURN, "return nn.relu((", "", r"^my_masker\.py:\d+: .*never closed"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_contract_is_one_line(folder, name):
    before, after, settings, line = BROKEN[name]
    text = example()
    assert before in text
    (folder / "my_masker.py").write_text(text.replace(before, after))
    with pytest.raises(InputError, match=line) as error:
        config_of(f"my_masker.py:TcnMasker{settings}", BASE)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("my_masker.py:")


def test_commands_hand_it_on_to_their_jobs():
    """Oracle: the job's arguments, read again."""
    pytest.importorskip("cyclopts")
    from experiments.ablation import app
    from experiments.cli.options import arguments_of
    from experiments.rows.options import AblationOptions

    options = AblationOptions(systems=("mad", SMALL), accept_changed_source=True, only_rows=("TcnMasker-blocks-2",))
    _, read, _ = app.parse_args(arguments_of(options), print_error=False, exit_on_error=False)
    assert read.arguments["options"] == options
    _, read, _ = app.parse_args(["--systems", "MAD", "My.py:Net"], print_error=False, exit_on_error=False)
    assert read.arguments["options"].systems == ("mad", "My.py:Net")


def test_where_computations_are_compared_it_draws_nothing():
    from experiments.benchmarks.case import Case
    from experiments.benchmarks.equality import small_case

    small = small_case(Case.of("my_masker.py:TcnMasker(dropout=0.5, channels=3)", "train", 1, 24, "quick"))
    assert small.config.masker.settings == ("channels=3", "dropout=0.0")


def test_no_such_file_or_class():
    with pytest.raises(InputError, match=r"^gone\.py: found no such file"):
        config_of("gone.py:Net", BASE)
    with pytest.raises(InputError, match=r"found no such class, did you mean 'TcnMasker'\?"):
        config_of("my_masker.py:TcnMaskr", BASE)


@pytest.mark.parametrize(("before", "after"), [("import jax\n", "import jax\n1 / 0\n"), (RETURN, "return 1 / 0")])
def test_an_error_of_the_code_itself_says_whose_it_is(folder, before, after):
    (folder / "my_masker.py").write_text(example().replace(before, after))
    with pytest.raises(ZeroDivisionError) as error:
        config_of("my_masker.py:TcnMasker", BASE)
    assert any(note.startswith("This was raised in my_masker.py") for note in error.value.__notes__)
