"""Conversions while a worker starts: their packages come before the confinement's second stage."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

from wasmind.worker.conversions.plan import Plan
from wasmind.worker.conversions.runner import ConvertingRunner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmind.nn.signature import Signature
    from wasmind.worker.call import Company
    from wasmind.worker.inference import Runner
    from wasmind.worker.runtimes.base import Execution
    from wasmind.worker.spec import Conversions


def import_packages(declared: Conversions) -> None:
    """Import what these conversions need. Raises PackageMissing."""
    warnings.simplefilter("ignore")  # what is odd about a stranger's image is nothing for the log
    for kind in declared.kinds & {"image", "text"}:
        import_module(f"wasmind.worker.conversions.{kind}")


def converting(
    declared: Conversions, signature: Signature, executions: Sequence[Execution]
) -> tuple[list[Runner], Signature, Company]:
    """A runner for each execution of the model, the signature that functions see, and what calls may join.

    Raises ModelLoadFailed for a declaration that does not fit the model.
    """
    plan = Plan(declared, signature)
    plan.rehearse()
    runners: list[Runner] = [ConvertingRunner(execution, plan) for execution in executions]
    return runners, plan.signature, plan.company
