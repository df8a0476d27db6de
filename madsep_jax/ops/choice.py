"""Which form of an operation runs: the plain one that defines it, or the one that is written for speed."""

from typing import Literal

import jax

Operations = Literal["auto", "plain", "fast"]
Operation = Literal["gru", "dws_block", "first_dws_block", "optimizer"]

#: Operations whose fast form beat the plain one, by backend, measured as a train step at full size and batch 4. A
#: backend that is not listed has not been measured: the plain forms run there.
FASTER: dict[str, frozenset[Operation]] = {
    "cpu": frozenset({"gru", "dws_block", "first_dws_block", "optimizer"}),
}


def runs_fast(operation: Operation, operations: Operations) -> bool:
    """Whether the fast form of an operation is to run on the present backend, for `ComputeConfig.operations`."""
    if operations == "auto":
        return operation in FASTER.get(jax.default_backend(), frozenset())
    return operations == "fast"
