"""grpcio 1: learns the sequencer's API by reflection alone; submits, watches, reads blocks and a namespace."""

import hashlib
import os

import grpc
from flow import equal, finish, step
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PACKAGE = "kumo.sequencer.v1"
NAMESPACE = 4242
channel = grpc.insecure_channel(os.environ["KUMO_VALIDATOR"].removeprefix("http://").rstrip("/"))
reflected = ProtoReflectionDescriptorDatabase(channel)
pool = DescriptorPool(reflected)


def message(name, **fields):
    return GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))(**fields)


def call(service, name, request, timeout=30):
    """Calls a method of which only the description is known; the answers of a stream come one by one."""
    method = pool.FindServiceByName(f"{PACKAGE}.{service}").methods_by_name[name]
    kinds = {(False, False): channel.unary_unary, (False, True): channel.unary_stream, (True, True): channel.stream_stream}
    make = kinds[method.client_streaming, method.server_streaming]
    stub = make(
        f"/{PACKAGE}.{service}/{name}",
        request_serializer=lambda sent: sent.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    return stub(request, timeout=timeout)


def transaction(payload):
    return message("Transaction", namespace=NAMESPACE, payload=payload)


def name_of(payload):
    return hashlib.sha256(NAMESPACE.to_bytes(8, "big") + payload).digest()


@step("reflection lists the services")
def _():
    listed = set(reflected.get_services())
    wanted = {f"{PACKAGE}.{name}Service" for name in ("Submission", "Block", "Namespace", "Finality")}
    equal(wanted - listed, set(), "missing")


@step("submit and wait until final")
def _():
    receipt = call("SubmissionService", "Submit", message("SubmitRequest", transaction=transaction(b"one")))
    equal(receipt.hash, name_of(b"one"), "hash")
    final = call("SubmissionService", "GetSubmission", message("GetSubmissionRequest", hash=receipt.hash, wait_millis=20_000))
    equal(final.state, 4, "state")
    block = call("BlockService", "GetBlock", message("GetBlockRequest", height=final.height))
    payloads = {found.namespace: list(found.payloads) for found in block.namespaces}
    equal(payloads[NAMESPACE][final.transaction.index], b"one", "payload")


@step("watch until finalised")
def _():
    watched = call("SubmissionService", "WatchSubmission", message("WatchSubmissionRequest", hash=name_of(b"one")), 120)
    states = [told.state for told in watched]
    equal((states == sorted(states), states[-1]), (True, 5), f"states {states}")


@step("batch, stream of batches and bundle")
def _():
    batch = message("SubmitBatchRequest", transactions=[transaction(b"two"), transaction(b"three")])
    answers = call("SubmissionService", "SubmitBatch", batch).answers
    equal([answer.accepted.hash for answer in answers], [name_of(b"two"), name_of(b"three")], "hashes")
    batches = [message("SubmitBatchRequest", transactions=[transaction(bytes([n]))]) for n in range(5)]
    streamed = call("SubmissionService", "SubmitStream", iter(batches))
    equal([told.answers[0].accepted.hash for told in streamed], [name_of(bytes([n])) for n in range(5)], "hashes")
    bundle = message("SubmitBundleRequest", transactions=[transaction(b"first"), transaction(b"second")])
    receipt = call("SubmissionService", "SubmitBundle", bundle)
    final = call("SubmissionService", "GetSubmission", message("GetSubmissionRequest", hash=receipt.hash, wait_millis=20_000))
    equal((final.state, final.WhichOneof("place")), (4, "bundle_number"), "bundle")


@step("blocks and a namespace arrive as they become final")
def _():
    begin = call("FinalityService", "GetStatus", message("GetStatusRequest")).final_height
    blocks = call("BlockService", "StreamBlocks", message("StreamBlocksRequest", **{"from": begin}))
    proofs = call("NamespaceService", "StreamNamespace", message("StreamNamespaceRequest", namespace=NAMESPACE, **{"from": begin}))
    heights = [(next(blocks).height, next(proofs).height) for _ in range(5)]
    blocks.cancel()
    proofs.cancel()
    equal(heights, [(begin + n, begin + n) for n in range(5)], "heights")


@step("errors have codes")
def _():
    for service, name, request, code in [
        ("SubmissionService", "Submit", message("SubmitRequest"), grpc.StatusCode.INVALID_ARGUMENT),
        ("SubmissionService", "Submit", message("SubmitRequest", transaction=transaction(bytes(2**20 + 1))), grpc.StatusCode.INVALID_ARGUMENT),
        ("BlockService", "GetBlock", message("GetBlockRequest", height=2**60), grpc.StatusCode.NOT_FOUND),
        ("BlockService", "ListBlocks", message("ListBlocksRequest", max=257), grpc.StatusCode.INVALID_ARGUMENT),
    ]:
        try:
            call(service, name, request)
            raise AssertionError(f"{name} was answered")
        except grpc.RpcError as error:
            equal(error.code(), code, f"{name}: {error.details()}")


finish()
