"""PyTorch's side: eager, on the same device, in the same arithmetic."""

import gc
import importlib.util
import os
import shutil
import sys
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from experiments.benchmarks.case import Case, Precision, PreparedCase, make_batch
from experiments.benchmarks.peer.systems import build_peer, loss_of, make_train_step
from madsep_jax.errors import InputError
from madsep_jax.host.memory import require_memory
from madsep_jax.interop import to_torch

#: `torch` is written as the layers are documented. `torch tuned` stores images with their channels last, lets
#: activations overwrite their input, and has Adam fused: the same result, on most machines sooner. `torch compiled` is
#: that one under `torch.compile`, which leaves recurrent layers as they are.
PeerForm = Literal["torch", "torch tuned", "torch compiled"]


def peer_device(backend: str) -> torch.device:
    """Return PyTorch's name for the device that JAX uses.

    Raises:
        InputError: where this PyTorch cannot use it, or would end the process by a segmentation fault: its optimisers
            import Triton, which does that behind TensorFlow.
    """
    if "tensorflow" in sys.modules and "triton" not in sys.modules and importlib.util.find_spec("triton"):
        raise InputError("--peer torch: found TensorFlow imported before Triton, expected `import triton` before it")
    if backend == "gpu" and torch.cuda.is_available():
        return torch.device("cuda")
    if backend == "cpu":
        return torch.device("cpu")
    raise InputError(f"--peer torch: found PyTorch {torch.__version__} without {backend}, expected one that can use it")


def load_peer(case: Case, variables: Any, form: PeerForm, device: torch.device) -> nn.Module:
    """Return the case's system in PyTorch, with these weights.

    Raises:
        InputError: for a system that is not written in PyTorch, or has no published names.
    """
    model: Any = build_peer(case.config.model)
    state_dict = to_torch(case.config.model, variables)
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in state_dict.items()})
    model = model.to(device, torch.float64 if case.precision == "float64" else torch.float32)
    if form != "torch":
        model = model.to(memory_format=torch.channels_last)
        for module in model.modules():
            if isinstance(module, nn.ReLU | nn.LeakyReLU):
                module.inplace = True
    return model


def prepare(case: Case, variables: Any, form: PeerForm, device: torch.device) -> PreparedCase:
    """Load a case with these weights, and run it once."""
    _use_precision(case.precision)
    model = load_peer(case, variables, form, device)
    if form == "torch compiled":
        require_compiler(device)
        model.compile()
    mix_BSF, voice_BTF = _batch(case, device)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()

    memory: dict[str, int] = {}
    if case.mode == "train":
        model.train()
        if not on_gpu:
            memory["kept_for_gradient"] = case.batch * kept_for_gradient(model, mix_BSF[:1])
            require_memory(memory["kept_for_gradient"])
        else:
            _require_gpu_memory(case.batch * kept_for_gradient(model, mix_BSF[:1]))
        autocast = torch.bfloat16 if case.precision == "bfloat16" else None
        train_step = make_train_step(model, case.config.loss, case.config.training, form != "torch", autocast)

        def work() -> torch.Tensor:
            return train_step(mix_BSF, voice_BTF)
    else:
        model.eval()

        @torch.inference_mode()
        def work() -> torch.Tensor:
            return model(mix_BSF).voice_BTF

    def step() -> torch.Tensor:
        found = work()
        if on_gpu:
            torch.cuda.synchronize()
        return found

    first = step()
    return PreparedCase(
        run=step,
        output_BTF=first.cpu().numpy() if case.mode == "forward" else None,
        memory=memory | ({"peak": torch.cuda.max_memory_allocated()} if on_gpu else {}),
    )


def require_compiler(device: torch.device) -> None:
    """Raise InputError where `torch.compile` has no C++ compiler to make programs for a CPU of."""
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        raise InputError(f"torch.compile: found no C++ compiler {compiler!r}; install one, or name another in CXX")


def kept_for_gradient(model: nn.Module, mag_BSF: torch.Tensor) -> int:
    """Return the bytes that PyTorch keeps from the forward pass for the backward pass: most of what a step needs."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _ = model(mag_BSF)
    return sum(kept.values())


def training_loss(case: Case, variables: Any, device: torch.device) -> float:
    """Return the loss of the case's batch in training, before any step."""
    _use_precision(case.precision)
    model = load_peer(case, variables, "torch", device).train()
    mix_BSF, voice_BTF = _batch(case, device)
    with torch.no_grad():
        return float(loss_of(model, model(mix_BSF), voice_BTF, case.config.loss))


def _require_gpu_memory(needed: int) -> None:
    free, _ = torch.cuda.mem_get_info()
    if needed > free:
        raise MemoryError(f"needs about {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free")


def free_memory() -> None:
    """Give back what PyTorch keeps of finished work."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def torch_settings() -> dict[str, Any]:
    """Return what PyTorch's speed depends on, for saving beside a result."""
    settings = {"version": torch.__version__, "threads": torch.get_num_threads()}
    if not torch.cuda.is_available():
        return settings
    cudnn = torch.backends.cudnn
    return {**settings, "cuda": torch.version.cuda, "cudnn": cudnn.version(), "cudnn_benchmark": cudnn.benchmark}


def _batch(case: Case, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    mix_BSF, voice_BTF = make_batch(case.config, case.dtype)
    return torch.from_numpy(mix_BSF).to(device), torch.from_numpy(voice_BTF).to(device)


def _use_precision(precision: Precision) -> None:
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True  # choose by trial, as XLA does
