"""What a result was made with. Oracles: descriptions of processors as Linux writes them."""

import platform

import pytest

from madsep_jax.host.environment import describe_machine, environment, processor

X86 = "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD  EPYC\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\n"


@pytest.mark.parametrize(
    ("text", "expected"), [(X86, "AMD EPYC, family 26, model 2"), (ARM, "aarch64"), (None, "aarch64")]
)
def test_the_processor(tmp_path, monkeypatch, text, expected):
    """By its name, family and model; where there are none, by what Python knows."""
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert processor(tmp_path / "cpuinfo") == expected


def test_a_caption_names_the_processor():
    """Of a CPU; not beside an accelerator, and not where an older result does not have it."""
    found = environment() | {"device": "cpu", "cpu_cores": 2, "processor": "P, family 1", "versions": {"jax": "1"}}
    found |= {"xla_flags": "", "openblas": {}}
    assert describe_machine(found) == "cpu (P, family 1), 2 CPU cores, jax 1"
    assert describe_machine(found | {"device": "H200"}) == "H200, 2 CPU cores, jax 1"
    del found["processor"], found["xla_flags"], found["openblas"]
    assert describe_machine(found) == "cpu, 2 CPU cores, jax 1"


def test_flags_are_kept_and_shown(monkeypatch):
    """They can change results, as another processor does: those of OpenBLAS the recurrent weights of the first step."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=AVX2")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.delenv("OPENBLAS_L2_SIZE", raising=False)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert environment()["xla_flags"] == "--xla_cpu_max_isa=AVX2"
    assert environment()["openblas"] == {"OPENBLAS_CORETYPE": "Haswell"}
    assert describe_machine().endswith(", XLA_FLAGS=--xla_cpu_max_isa=AVX2, OPENBLAS_CORETYPE=Haswell")
