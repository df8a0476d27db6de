"""Options of XLA's compiler that fit these models better than its defaults, by backend, as measured."""

import os

import jax

#: cpu: programs of the second level of optimisation are as fast as those of the third, and DWS takes less time to
#: compile; vectors of 512 bits, where the processor has them, make the train step of DWS a tenth faster. Neither does
#: anything for MaD. `python -m experiments.compile_time --parts compiler` measures both. A backend that is not listed
#: has not been measured.
CHOSEN: dict[str, dict[str, int]] = {
    "cpu": {"xla_backend_optimization_level": 2, "xla_cpu_prefer_vector_width": 512},
}


def compiler_options(backend: str | None = None) -> dict[str, int]:
    """Return the options that programs are compiled with, for `jax.jit`.

    Options that `XLA_FLAGS` names are left to it, and all are where JAX is told to leave most optimisations out.

    Args:
        backend: to compile for; None for the present one.
    """
    if jax.config.read("jax_disable_most_optimizations"):
        return {}
    flags = [flag.partition("=")[0].lstrip("-") for flag in os.environ.get("XLA_FLAGS", "").split()]
    chosen = CHOSEN.get(backend or jax.default_backend(), {})
    return {name: value for name, value in chosen.items() if name not in flags}
