"""Requests per second beside `wasmtime serve`, and a real classifier beside onnxruntime alone.

    python -m benchmarks.serve [--seconds 4] [--rounds 3]

Ours and the peer's take turns, so that a noisy machine disturbs both alike; a ratio is the rounds' median.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from contextlib import ExitStack

import numpy as np

from benchmarks import node
from benchmarks.load import Load, generator, load
from benchmarks.peer import wasmtime


def compare(name: str, ours: str, theirs: str, connections: int, rounds: int, seconds: float) -> None:
    """Print both rates and their ratio."""

    def measured(url: str) -> Load:
        return load(url, connections=connections, seconds=seconds)

    found = [(measured(ours), measured(theirs)) for _ in range(rounds)]
    ratio = statistics.median(a.rate / b.rate for a, b in found)
    for who, side in (("wasmind", [a for a, _ in found]), ("wasmtime serve", [b for _, b in found])):
        rate, p50, p99 = (
            statistics.median(getattr(one, key) for one in side) for key in ("rate", "p50_ms", "p99_ms")
        )
        failed = sum(one.failed for one in side)
        print(
            f"  {name:<6} c={connections:<3} {who:<15} {rate:9.0f}/s   p50 {p50:8.2f} ms   p99 {p99:8.2f} ms",
            end="",
        )
        print(f"   {failed} failed" if failed else "")
    print(f"  {name:<6} c={connections:<3} ratio {ratio:.2f}", flush=True)


def alone(seconds: float, image: bytes) -> float:
    """Images per second of onnxruntime in this process: two threads, one session each core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        node.BUILD / "classifier.onnx", options, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: np.frombuffer(image, np.uint8).reshape(1, 224, 224, 3)}
    counts, until = [0, 0], time.perf_counter() + seconds

    def run(at: int) -> None:
        while time.perf_counter() < until:
            session.run(None, feed)
            counts[at] += 1

    threads = [threading.Thread(target=run, args=(at,)) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def classifier(url: str, rounds: int, seconds: float) -> None:
    """EfficientNet-Lite0 through functions, beside onnxruntime alone on the same cores."""
    image = np.random.default_rng(7).integers(0, 256, 224 * 224 * 3, np.uint8).tobytes()
    pairs = []
    for _ in range(rounds):
        ours = load(f"{url}/classify", connections=4, seconds=seconds, body=image)
        pairs.append((ours.rate, alone(seconds, image)))
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"  EfficientNet-Lite0 {ours:.1f}/s, onnxruntime alone {theirs:.1f}/s: ratio {ratio:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rounds, seconds = arguments.rounds, arguments.seconds
    node.prepare()
    print(f"Requests per second; the load comes from {generator()} on the same cores")
    with node.serve() as url:
        for name in ("hello", "infer"):
            with ExitStack() as stack:
                peer = stack.enter_context(wasmtime.serve(name))
                for connections in (1, 32):
                    compare(name, f"{url}/{name}", peer, connections, rounds, seconds)
        classifier(url, rounds, seconds)


if __name__ == "__main__":
    main()
