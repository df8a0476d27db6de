"""Devices that programs are compiled for without having one: their facts, their names, and how XLA knows them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from madsep_jax.errors import InputError, did_you_mean

_TERA, _GIB = 1e12, 2**30


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a chip can do at most, by its maker's word, and what a kernel is taken to cost."""

    memory_bytes: int
    bytes_per_s: float
    """Of its memory."""
    product_flops_per_s: Mapping[str, float] = field(default_factory=dict)
    """Of matrix products and convolutions, by precision; without what is not known."""
    other_flops_per_s: float | None = None
    """Of all other arithmetic; None where it is not known, and left out."""
    link_bytes_per_s: float | None = None
    """To other chips of its kind, in one direction, all links together."""
    kept_bytes: int = 0
    """Memory on the chip in which a program can keep arrays from one kernel to the next."""
    launch_s: float = 0.0
    """Between the ends of two kernels that have nothing to do: an assumption, of no maker."""

    def compute_s(self, precision: str, products: float, others: float) -> float | None:
        """Return the least seconds of arithmetic; None where the rate of products in that precision is not known."""
        if precision not in self.product_flops_per_s:
            return None
        of_others = others / self.other_flops_per_s if self.other_flops_per_s else 0.0
        return products / self.product_flops_per_s[precision] + of_others

    def roofline_s(self, moved: float, compute_s: float | None, launches: int) -> float:
        """Return max(bytes / bandwidth, arithmetic / rate) + launches · `launch_s`."""
        return max(moved / self.bytes_per_s, compute_s or 0.0) + launches * self.launch_s


@dataclass(frozen=True, kw_only=True)
class _Gpu:
    """An NVIDIA GPU's facts, of which XLA is told those that its `GpuTargetConfigProto` has."""

    name: str
    capability: tuple[int, int]
    cores: int
    fpus: int
    """For float32, in each core."""
    ghz: float
    memory: int
    bytes_per_s: int
    l2_bytes: int
    shared_bytes: int
    """Of memory that the threads of a core share; a block of them may have 1 KiB less."""
    tf32: float
    bfloat16: float
    link: float


def _tpu(hbm_gib: float, bytes_per_s: float, bfloat16: float, link: float, other: float | None, kept: int) -> Device:
    """float32 products are made of six in bfloat16 on a TPU, those with tf32's precision of three."""
    products = {"float32": bfloat16 / 6, "tf32": bfloat16 / 3, "bfloat16": bfloat16}
    return Device(
        memory_bytes=int(hbm_gib * _GIB),
        bytes_per_s=bytes_per_s,
        product_flops_per_s=products,
        other_flops_per_s=other,
        link_bytes_per_s=link,
        kept_bytes=kept,
        launch_s=1e-6,
    )


#: By the names of XLA's topologies, with the smallest one of a machine. Memory (what a program gets of it), bandwidth,
#: peak and links: cloud.google.com/tpu/docs, one page a generation; half of the links' bandwidth of both directions.
#: Other arithmetic, of v5e and v5p: 4 units for each of 8 · 128 lanes, at the clock that the peak is for.
TPUS: dict[str, tuple[Device, str]] = {
    "v4": (_tpu(31.25, 1.228e12, 275 * _TERA, 150e9, None, 0), "2x2x1"),
    "v5e": (_tpu(15.75, 0.819e12, 197 * _TERA, 100e9, 6.1 * _TERA, 128 * 2**20), "2x2"),
    "v5p": (_tpu(95.0, 2.765e12, 459 * _TERA, 300e9, 14.3 * _TERA, 0), "2x2x1"),
    "v6e": (_tpu(31.25, 1.64e12, 918 * _TERA, 200e9, None, 128 * 2**20), "2x2"),
}

#: Data sheets of NVIDIA (dense products; NVLink, half of both directions); sizes as a device tells CUDA.
GPUS: dict[str, _Gpu] = {
    "t4": _Gpu(  # has no tf32 and bfloat16, which cost what float32 does
        name="Tesla T4", capability=(7, 5), cores=40, fpus=64, ghz=1.59, memory=15828320256,
        bytes_per_s=320064000000, l2_bytes=4194304, shared_bytes=65536, tf32=8.1408e12, bfloat16=8.1408e12, link=16e9,
    ),
    "a100": _Gpu(
        name="NVIDIA A100-SXM4-80GB", capability=(8, 0), cores=108, fpus=64, ghz=1.41, memory=85100068864,
        bytes_per_s=2039040000000, l2_bytes=41943040, shared_bytes=167936, tf32=156e12, bfloat16=312e12, link=300e9,
    ),
    "h100": _Gpu(
        name="NVIDIA H100 80GB HBM3", capability=(9, 0), cores=132, fpus=128, ghz=1.98, memory=84942979072,
        bytes_per_s=3352320000000, l2_bytes=52428800, shared_bytes=233472, tf32=494e12, bfloat16=989e12, link=450e9,
    ),
    "h200": _Gpu(
        name="NVIDIA H200 141GB HBM3e", capability=(9, 0), cores=132, fpus=128, ghz=1.98, memory=151397597184,
        bytes_per_s=4800000000000, l2_bytes=52428800, shared_bytes=233472, tf32=494e12, bfloat16=989e12, link=450e9,
    ),
    "b200": _Gpu(
        name="NVIDIA B200", capability=(10, 0), cores=148, fpus=128, ghz=1.965, memory=191514411008,
        bytes_per_s=7672320000000, l2_bytes=132644864, shared_bytes=233472, tf32=1125e12, bfloat16=2250e12, link=900e9,
    ),
}  # fmt: skip

_GPU_LAUNCH_S = 2e-6


@dataclass(frozen=True, kw_only=True)
class Target:
    """A device, or several that belong together, to compile for."""

    name: str
    """As it was asked for: `tpu:v5e:2x2`, `cuda:h200`."""
    platform: str
    topology: str
    device: Device
    description: str = ""
    """Of a GPU, in the text form of XLA's `GpuTargetConfigProto`."""

    @property
    def settings(self) -> dict[str, str]:
        """What the configuration of a program for it has, by dotted name; for kernels see `ops.choice.takes_triton`."""
        major = re.search(r"cuda_compute_capability\s*{\s*major: (\d+)", self.description)
        return {"compute.target": self.kind, **({"compute.kernels": "xla"} if major and int(major[1]) < 8 else {})}

    @property
    def kind(self) -> str:
        """As `ComputeConfig.target` has it."""
        return "gpu" if self.platform == "cuda" else "tpu"

    @property
    def variables(self) -> dict[str, str]:
        """What the environment of the process that compiles must have before JAX is imported."""
        return {"JAX_PLATFORMS": "cpu", **(_TPU_VARIABLES if self.platform == "tpu" else {})}


#: libtpu is not to look for a TPU's host, and several processes may load it.
_TPU_VARIABLES = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def find_target(name: str) -> Target:
    """Return the target of a name: `tpu:CHIP`, `tpu:CHIP:TOPOLOGY`, `cuda:CHIP`, or `cuda:FILE` with a description.

    Raises:
        InputError: on a name that is not known, or a file that cannot be read; where what compiles for it is missing.
    """
    platform, _, rest = name.partition(":")
    if platform == "tpu":
        chip, _, topology = rest.partition(":")
        if chip not in TPUS:
            raise _unknown(name)
        device, smallest = TPUS[chip]
        return Target(name=name, platform="tpu", topology=f"{chip}:{topology or smallest}", device=device)
    if platform == "cuda" and rest in GPUS:
        gpu = GPUS[rest]
        return Target(name=name, platform="cuda", topology="1x1x1", device=_device_of(gpu), description=describe(gpu))
    if platform == "cuda" and rest.endswith((".txtpb", ".pbtxt", ".textproto")):
        return _from_file(name, Path(rest))
    raise _unknown(name)


def _unknown(name: str) -> InputError:
    names = [*(f"tpu:{chip}:{smallest}" for chip, (_, smallest) in TPUS.items()), *(f"cuda:{chip}" for chip in GPUS)]
    known = f"{did_you_mean(name, names)}; cuda: takes a file, too (NAME.txtpb)"
    return InputError(f"--target {name}: unknown, {known}")


def _device_of(gpu: _Gpu) -> Device:
    float32 = 2e9 * gpu.cores * gpu.fpus * gpu.ghz
    return Device(
        memory_bytes=gpu.memory,
        bytes_per_s=gpu.bytes_per_s,
        product_flops_per_s={"float32": float32, "tf32": gpu.tf32, "bfloat16": gpu.bfloat16},
        other_flops_per_s=float32,
        link_bytes_per_s=gpu.link,
        launch_s=_GPU_LAUNCH_S,
    )


def describe(gpu: _Gpu) -> str:
    """Return a GPU's description for XLA."""
    return f"""\
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: {gpu.shared_bytes}
  threads_per_core_limit: 2048
  core_count: {gpu.cores}
  fpus_per_core: {gpu.fpus}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: {gpu.bytes_per_s}
  l2_cache_size: {gpu.l2_bytes}
  clock_rate_ghz: {gpu.ghz}
  device_memory_size: {gpu.memory}
  shared_memory_per_block_optin: {gpu.shared_bytes - 1024}
  cuda_compute_capability {{
    major: {gpu.capability[0]}
    minor: {gpu.capability[1]}
    feature_extension: {"ACCELERATED_FEATURES" if gpu.capability >= (9, 0) else "NONE"}
  }}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
runtime_version {{ major: 12 minor: 8 patch: 0 }}
device_description_str: "{gpu.name}"
"""


def _from_file(name: str, path: Path) -> Target:
    """Return the GPU that a file describes; of its products only the rate in float32 is known."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--target {name}: cannot be read, expected a GPU's description: {error}") from None
    told = dict(line.split(": ", 1) for line in map(str.strip, text.splitlines()) if ": " in line)
    try:
        cores, fpus, ghz = (float(told[one]) for one in ("core_count", "fpus_per_core", "clock_rate_ghz"))
        memory, bandwidth = int(told["device_memory_size"]), float(told["memory_bandwidth"])
    except (KeyError, ValueError) as error:
        found = str(error).strip("'")
        raise InputError(f"--target {name}: found no GPU's description in it, expected {found}") from None
    float32 = 2e9 * cores * fpus * ghz
    device = Device(
        memory_bytes=memory,
        bytes_per_s=bandwidth,
        product_flops_per_s={"float32": float32},
        other_flops_per_s=float32,
        launch_s=_GPU_LAUNCH_S,
    )
    return Target(name=name, platform="cuda", topology="1x1x1", device=device, description=text)
