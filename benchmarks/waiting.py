"""Thousands of requests that wait for one slow inference in one edge worker: what each costs, whom it slows.

    python -m benchmarks.waiting [--guests 10000]

Resident memory is that of the whole edge worker: connection, request, sandbox, inference. The
small function beside them is measured before and while they wait.
"""

from __future__ import annotations

import argparse
import asyncio

import onnx
from onnx import TensorProto, helper

from benchmarks import node
from benchmarks.load import load
from benchmarks.waiters import resident, serving, wait_together
from wasmind.node.child import raise_descriptor_limit


def slow_model() -> bytes:
    """A model that counts for longer than anybody waits."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["count", "one"], ["next"]),
            helper.make_node("Identity", ["going"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("count", TensorProto.FLOAT, [1, 1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1, 1]),
        ],
        [helper.make_tensor("one", TensorProto.FLOAT, [1, 1], [1.0])],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["turns", "yes", "x"], ["y"], body=body)],
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [
            helper.make_tensor("turns", TensorProto.INT64, [], [1 << 40]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


async def measure(guests: int) -> None:
    """Print the figures."""
    node.BUILD.mkdir(parents=True, exist_ok=True)
    path = node.BUILD / "slow.onnx"
    path.write_bytes(slow_model())
    with serving("waiting", f'path = "{path}"\nwarm_up = false') as served:
        hello = f"{served.url}/hello"
        alone = [load(hello, connections=8, seconds=3) for _ in range(3)]
        before = resident(served.edge)
        writers = await wait_together(served, guests)
        each = (resident(served.edge) - before) / len(writers) / 1024
        beside = [load(hello, connections=8, seconds=3) for _ in range(3)]
        print(f"  {len(writers)} requests wait in one edge worker, {each:.1f} KiB resident each")
        rates = [max(one.rate for one in some) for some in (alone, beside)]
        print(f"  hello alone {rates[0]:.0f}/s, beside them {rates[1]:.0f}/s: {rates[1] / rates[0]:.2f}")
        for writer in writers:
            writer.transport.abort()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--guests", type=int, default=10_000)
    raise_descriptor_limit()
    asyncio.run(measure(parser.parse_args().guests))


if __name__ == "__main__":
    main()
