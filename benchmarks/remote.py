"""Models on servers elsewhere: what a function adds to an inference, and whom guests slow that wait for one.

    python -m benchmarks.remote [--guests 2000] [added] [waiting] [answered]

`added` runs Triton, and measures in turn its own client (tritonclient, binary) and a function with the same
model; `waiting` runs a server that answers late, with guests that wait for it in one edge worker while a
small function beside them is measured; `answered` has all of them answered after a second. The last two are
done by REST, where each request has a connection, and by gRPC, where all share one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import waiters
from benchmarks.load import load
from benchmarks.peer.wasmtime import ROOT
from benchmarks.waiters import resident, wait_together
from wasmind.node.child import raise_descriptor_limit

sys.path.insert(0, str(ROOT / "tests"))

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

ROUNDS = 3
PAIRS = 8
"""Short runs of the two in turn; of each the best p50 counts, which is the one least disturbed."""
CLIENT = """
import sys, time
import numpy
kind, address, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
if kind == "rest":
    import tritonclient.http as triton
else:
    import tritonclient.grpc as triton
client = triton.InferenceServerClient(address)
x = numpy.array([[3]], numpy.float32)
times, until = [], time.perf_counter() + seconds
while (began := time.perf_counter()) < until:
    given = triton.InferInput("x", [1, 1], "FP32")
    given.set_data_from_numpy(x)
    assert client.infer("linear", [given]).as_numpy("y")[0, 0] == 7
    times.append(time.perf_counter() - began)
times.sort()
print(times[len(times) // 2] * 1000)
"""
LATE = """
import asyncio, json, sys
DELAY = float(sys.argv[1])
SIDE = {"datatype": "FP32", "shape": [1, 1]}
METADATA = {"name": "late", "inputs": [{"name": "x", **SIDE}], "outputs": [{"name": "y", **SIDE}]}
ANSWER = {"model_name": "late", "outputs": [{"name": "y", **SIDE, "data": [7]}]}
def framed(body):
    data = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\n\\r\\n%b" % (len(data), data)
METADATA, ANSWER, SERVER = framed(METADATA), framed(ANSWER), framed({"name": "late", "extensions": []})
class Late(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.rest = transport, b""
    def data_received(self, data):
        self.rest += data
        head, end, body = self.rest.partition(b"\\r\\n\\r\\n")
        if not end:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\\r\\n")[0]
        if len(body) < int(length or 0):
            return
        self.rest = b""
        if head.startswith(b"POST"):
            asyncio.get_running_loop().call_later(DELAY, self.transport.write, ANSWER)
        else:
            self.transport.write(SERVER if b" /v2 " in head else METADATA)
async def main():
    server = await asyncio.get_running_loop().create_server(Late, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


LATE_GRPC = """
import asyncio, socket, sys
from open_inference.grpc import protocol
from wasmind.httpd.grpc_server import GrpcServer
METADATA = protocol.ModelMetadataResponse(name="late")
METADATA.inputs.add(name="x", datatype="FP32", shape=[1, 1])
METADATA.outputs.add(name="y", datatype="FP32", shape=[1, 1])
ANSWER = protocol.ModelInferResponse(model_name="late", raw_output_contents=[b"\\0\\0\\xe0\\x40"])
ANSWER.outputs.add(name="y", datatype="FP32", shape=[1, 1])
METADATA, ANSWER = METADATA.SerializeToString(), ANSWER.SerializeToString()
class Late:
    def begin(self, call): pass
    def end(self, call): pass
    async def answer(self, call):
        if call.path.endswith("/ModelMetadata"):
            return METADATA
        await asyncio.sleep(float(sys.argv[1]))
        return ANSWER
async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    some = dict(most=1 << 20, streams=20_000, connections=20_000, head_s=60.0, stall_s=60.0)
    await GrpcServer(Late(), listener, **some).start()
    print(listener.getsockname()[1], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def serving(url: str, model: str, protocol: str = "rest") -> AbstractContextManager[waiters.Served]:
    """A node whose function asks a model elsewhere."""
    kserve = f'url = "{url}", model = "{model}", protocol = "{protocol}", concurrency = 20_000'
    return waiters.serving("remote", f"kserve = {{ {kserve} }}")


def added() -> None:
    """What a function adds to an inference on Triton, by REST and by gRPC."""
    import onnx
    from onnx import TensorProto, helper

    from support import peers

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["t"]), helper.make_node("Add", ["t", "one"], ["y"])],
        "linear",
        [value("x", TensorProto.FLOAT, [1, 1])],
        [value("y", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor(n, TensorProto.FLOAT, [1], [v]) for n, v in (("two", 2.0), ("one", 1.0))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    sides = {"x": [1, 1]}, {"y": [1, 1]}
    python = peers.environment("triton") / "bin" / "python"
    with (
        tempfile.TemporaryDirectory() as directory,
        peers.triton(Path(directory), {"linear": (model.SerializeToString(), *sides)}) as triton,
    ):
        for protocol, url in (("rest", triton.rest), ("grpc", triton.grpc)):
            with serving(url, "linear", protocol) as served:
                load(f"{served.url}/infer", connections=1, seconds=1)
                client, function = [], []
                for _ in range(PAIRS):
                    words = [str(python), "-c", CLIENT, protocol, url.removeprefix("http://"), "1"]
                    client.append(float(subprocess.run(words, check=True, capture_output=True).stdout))
                    run = load(f"{served.url}/infer", connections=1, seconds=1)
                    assert not run.failed
                    function.append(run.p50_ms)
                best = min(function) - min(client)
                print(
                    f"  {protocol}: tritonclient p50 {min(client):.3f} ms, "
                    f"a function p50 {min(function):.3f} ms: {best:+.3f} ms"
                )


@contextlib.contextmanager
def late(protocol: str, seconds: float) -> Iterator[str]:
    """A server whose model takes so long."""
    program = LATE_GRPC if protocol == "grpc" else LATE
    words = [sys.executable, "-c", program, str(seconds)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


async def waiting(guests: int, protocol: str) -> None:
    """What guests cost that all wait, and whom they slow."""
    with late(protocol, 600) as url, serving(url, "late", protocol) as served:
        hello = f"{served.url}/hello"
        load(hello, connections=8, seconds=1)
        threads, memory = _threads(served.edge), resident(served.edge)
        before = [load(hello, connections=8, seconds=3) for _ in range(ROUNDS)]
        writers = await wait_together(served, guests)
        each = (resident(served.edge) - memory) / len(writers) / 1024
        beside = [load(hello, connections=8, seconds=3) for _ in range(ROUNDS)]
        more = _threads(served.edge) - threads
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(1)
        after = [load(hello, connections=8, seconds=3) for _ in range(ROUNDS)]
        alone = before + after
        rates = [max(one.rate for one in some) for some in (alone, beside)]
        p99s = [min(one.p99_ms for one in some) for some in (alone, beside)]
        print(
            f"  {len(writers)} guests wait by {protocol}: "
            f"{each:.1f} KiB resident and {more / len(writers):g} threads each"
        )
        print(f"  hello alone {rates[0]:.0f}/s, beside them {rates[1]:.0f}/s: {rates[1] / rates[0]:.2f}")
        print(f"  its p99 {p99s[0]:.2f} ms, beside them {p99s[1]:.2f} ms: {p99s[1] / p99s[0]:.2f} times")


async def answered(guests: int, protocol: str) -> None:
    """A model that takes one second: so many guests at once, all answered."""
    with late(protocol, 1.0) as url, serving(url, "late", protocol) as served:
        port = int(served.url.rpartition(":")[2])
        request = b"GET /infer HTTP/1.1\r\nhost: localhost\r\n\r\n"

        async def one() -> float:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            began = asyncio.get_running_loop().time()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            writer.transport.abort()
            return asyncio.get_running_loop().time() - began

        began = asyncio.get_running_loop().time()
        times = sorted(await asyncio.gather(*(one() for _ in range(guests))))
        took = asyncio.get_running_loop().time() - began
        print(
            f"  {guests} guests at once by {protocol}, a model of 1 s: all answered within {took:.2f} s "
            f"(p50 {times[guests // 2]:.2f} s, p99 {times[guests * 99 // 100]:.2f} s)"
        )


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--guests", type=int, default=2_000)
    parser.add_argument("parts", nargs="*", help="which of them; all if none is named", metavar="part")
    given = parser.parse_args()
    raise_descriptor_limit()
    if not given.parts or "added" in given.parts:
        added()
    for name, part in (("waiting", waiting), ("answered", answered)):
        for protocol in ("rest", "grpc") if not given.parts or name in given.parts else ():
            asyncio.run(part(given.guests, protocol))


if __name__ == "__main__":
    main()
