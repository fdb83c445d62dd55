"""Published clients of the Open Inference Protocol, used as they document it, each in a process of its own.

`python oip_clients.py CLIENT ADDRESS TOKEN` prints what it met as JSON. (One process cannot import both kinds
of gRPC messages: they have the same names.)
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

X = np.array([[1, 2, 3, 4]], np.float32)


def told(client: str, address: str, token: str = "", python: Path | None = None) -> dict[str, Any]:
    """What a client met."""
    command = [python or sys.executable, "-P", __file__, client, address, token]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refusal(call: Any) -> list[str]:
    """The status and words of what a tritonclient raises."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - what it raises is the question
        return [str(error.status()), str(error.message())]  # type: ignore[attr-defined]
    return ["none", ""]


def triton(module: Any, address: str, token: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"} if token else None
    client = module.InferenceServerClient(address)
    given = module.InferInput("x", [1, 4], "FP32")
    given.set_data_from_numpy(X)
    by_class = [module.InferRequestedOutput("y", class_count=2)]

    def infer(name: str = "linear", **options: Any) -> Any:
        return client.infer(name, [given], headers=headers, **options)

    wrong = module.InferInput("x", [1, 3], "FP32")
    wrong.set_data_from_numpy(X[:, :3])
    plain = lambda value: value if isinstance(value, dict | list) else "message"  # noqa: E731
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model": client.is_model_ready("linear", headers=headers),
        "version": client.is_model_ready("linear", "1", headers=headers),
        "server": plain(client.get_server_metadata()),
        "metadata": plain(client.get_model_metadata("linear", headers=headers)),
        "index": plain(client.get_model_repository_index(headers=headers)),
        "y": infer(request_id="7").as_numpy("y").tolist(),
        "id": plain(infer(request_id="7").get_response()),
        "classes": [one.decode() for one in infer(outputs=by_class).as_numpy("y").reshape(-1).tolist()],
        "statistics": plain(client.get_inference_statistics("linear", headers=headers)),
        "unknown": refusal(lambda: infer("nope")),
        "version 9": refusal(lambda: infer(model_version="9")),
        "wrong": refusal(lambda: client.infer("linear", [wrong], headers=headers)),
    }


def triton_http(address: str, token: str) -> dict[str, Any]:
    import tritonclient.http as module

    found = triton(module, address, token)
    headers = {"authorization": f"Bearer {token}"} if token else None
    client = module.InferenceServerClient(address)
    given = module.InferInput("x", [1, 4], "FP32")
    given.set_data_from_numpy(X, binary_data=False)
    output = module.InferRequestedOutput("y", binary_data=False)
    found["json"] = client.infer("linear", [given], outputs=[output], headers=headers).as_numpy("y").tolist()
    for coding in ("gzip", "deflate"):
        given.set_data_from_numpy(X)
        options = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
        found[coding] = client.infer("linear", [given], headers=headers, **options).as_numpy("y").tolist()
    return found


def triton_grpc(address: str, token: str) -> dict[str, Any]:
    import tritonclient.grpc as module

    found = triton(module, address, token)
    client = module.InferenceServerClient(address)
    headers = {"authorization": f"Bearer {token}"} if token else None
    index = client.get_model_repository_index(headers=headers)
    found["states"] = [[one.name, one.version, one.state] for one in index.models]
    (statistics,) = client.get_inference_statistics("linear", headers=headers).model_stats
    found["counted"] = statistics.inference_stats.success.count
    metadata = client.get_model_metadata("linear", headers=headers, as_json=True)
    found["metadata"] = metadata
    return found


def triton_aio(kind: str, address: str, token: str) -> dict[str, Any]:
    if kind == "http":
        import tritonclient.http.aio as module
    else:
        import tritonclient.grpc.aio as module  # type: ignore[no-redef]

    async def run() -> dict[str, Any]:
        headers = {"authorization": f"Bearer {token}"} if token else None
        client = module.InferenceServerClient(address)
        given = module.InferInput("x", [1, 4], "FP32")
        given.set_data_from_numpy(X)
        answers = await asyncio.gather(*(client.infer("linear", [given], headers=headers) for _ in range(20)))
        ready = await client.is_model_ready("linear", headers=headers)
        await client.close()
        return {"y": answers[0].as_numpy("y").tolist(), "answers": len(answers), "model": ready}

    return asyncio.run(run())


def openapi(address: str, _token: str) -> dict[str, Any]:
    from open_inference.openapi.client import ApiError, InferenceRequest, OpenInferenceClient
    from open_inference.openapi.types import RequestInput, TensorData

    client = OpenInferenceClient(base_url=f"http://{address}")
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness("linear")
    metadata = client.read_model_metadata("linear")
    data = TensorData.parse_obj([1, 2, 3, 4])
    given = RequestInput(name="x", shape=[1, 4], datatype="FP32", data=data)
    answer = client.model_infer("linear", request=InferenceRequest(id="7", inputs=[given]))
    try:
        client.read_model_metadata("nope")
    except ApiError as error:
        unknown = error.status_code
    return {
        "server": client.read_server_metadata().name,
        "inputs": [[one.name, one.datatype, one.shape] for one in metadata.inputs],
        "id": answer.id,
        "y": answer.outputs[0].data.dict()["__root__"],
        "unknown": unknown,
    }


def kserve_rest(address: str, token: str) -> dict[str, Any]:
    from kserve import InferenceRESTClient, InferInput, InferRequest
    from kserve.inference_client import RESTConfig

    async def run() -> dict[str, Any]:
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        base, headers = f"http://{address}", {"authorization": f"Bearer {token}"}
        answers = {}
        for way in (True, False):
            given = InferInput("x", [1, 4], "FP32")
            given.set_data_from_numpy(X, binary_data=way)
            request = InferRequest("linear", [given], request_id="7")
            answer = await client.infer(
                base, request, "linear", headers=dict(headers)
            )  # it keeps what it adds
            answers["raw" if way else "json"] = answer.outputs[0].as_numpy().tolist()
        return {
            **answers,
            "live": await client.is_server_live(base),
            "ready": await client.is_server_ready(base),
            "model": await client.is_model_ready(base, "linear", headers=headers),
        }

    return asyncio.run(run())


def kserve_grpc(address: str, token: str) -> dict[str, Any]:
    from kserve import InferenceGRPCClient, InferInput, InferRequest

    async def run() -> dict[str, Any]:
        client = InferenceGRPCClient(address)
        headers = (("authorization", f"Bearer {token}"),)
        given = InferInput("x", [1, 4], "FP32")
        given.set_data_from_numpy(X, binary_data=True)
        answer = await client.infer(InferRequest("linear", [given], request_id="7"), headers=headers)
        return {
            "raw": answer.outputs[0].as_numpy().tolist(),
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model": await client.is_model_ready("linear", headers=headers),
        }

    return asyncio.run(run())


CLIENTS = {
    "tritonclient.http": triton_http,
    "tritonclient.grpc": triton_grpc,
    "tritonclient.http.aio": lambda address, token: triton_aio("http", address, token),
    "tritonclient.grpc.aio": lambda address, token: triton_aio("grpc", address, token),
    "open-inference-openapi": openapi,
    "kserve.rest": kserve_rest,
    "kserve.grpc": kserve_grpc,
}

if __name__ == "__main__":
    _, chosen, where, shown = sys.argv
    print(json.dumps(CLIENTS[chosen](where, shown)))  # noqa: T201 - its answer
