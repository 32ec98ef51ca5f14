"""A gRPC server and its client, with no messages but bytes.

grpcecho.py serve ADDRESS CERTIFICATE KEY   says PORT, then each call that was cancelled; ends with its input
grpcecho.py call HOST:PORT                  prints a line for each kind of call
grpcecho.py pack HOST:PORT CODING TEXT      sends compressed messages, with that text in the last; prints what came back
grpcecho.py pace HOST:PORT [TOKEN]          prints how many milliseconds short messages and their answers take

The package is Debian's python3-grpcio.
"""

import os
import sys
import threading
import time
import traceback
from concurrent import futures

import grpc


def same(b):
    return b


def unary(body, context):
    sent = dict(context.invocation_metadata())
    context.set_trailing_metadata((("x-end", sent.get("x-begin", "")),))
    return body


def down(body, context):
    for i in range(int(body)):
        yield b"%d " % i + b"." * 16384


def both(bodies, context):
    for body in bodies:
        yield body.upper()
    context.set_trailing_metadata((("x-end", "both"),))


def fail(body, context):
    context.set_trailing_metadata((("x-end", "failed"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: \N{SNOWMAN}")


def stay(body, context):
    # What is behind the yield does not run where the call ends before the
    # library has seen that its message was sent.
    gone = threading.Event()

    def end():
        print("cancelled", flush=True)
        gone.set()

    context.add_callback(end)
    yield b"here"
    if not gone.wait(60):
        print("not cancelled", flush=True)


class Service(grpc.GenericRpcHandler):
    kinds = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Down": grpc.unary_stream_rpc_method_handler(down),
        "Both": grpc.stream_stream_rpc_method_handler(both),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Stay": grpc.unary_stream_rpc_method_handler(stay),
    }

    def service(self, details):
        return self.kinds.get(details.method.removeprefix("/test.Echo/"))


def serve(address, certificate, key):
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Service(),))
    with open(key, "rb") as k, open(certificate, "rb") as c:
        credentials = grpc.ssl_server_credentials([(k.read(), c.read())])
    print(server.add_secure_port(address, credentials), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0)


def call(target):
    # It looks for the system's roots by itself, and for no variable but its own.
    channel = grpc.secure_channel(target, grpc.ssl_channel_credentials())
    method = "/test.Echo/"

    answer, rpc = channel.unary_unary(method + "Unary").with_call(
        b"x" * 3_000_000, metadata=(("x-begin", "and end"),), timeout=30)
    print("unary", len(answer), dict(rpc.trailing_metadata())["x-end"])

    pieces = [piece.split()[0] for piece in channel.unary_stream(method + "Down")(b"200", timeout=30)]
    print("down", len(pieces), pieces == [b"%d" % i for i in range(200)])

    # Each message waits for the answer to the one before it.
    answered = threading.Semaphore(1)

    def ask():
        for word in ("one", "two", "three"):
            answered.acquire(timeout=30)
            yield word.encode()

    words = []
    rpc = channel.stream_stream(method + "Both")(ask(), timeout=30)
    for word in rpc:
        words.append(word.decode())
        answered.release()
    print("both", *words, dict(rpc.trailing_metadata())["x-end"])

    try:
        channel.unary_unary(method + "Fail")(b"", timeout=30)
    except grpc.RpcError as error:
        print("fail", error.code().name, ascii(error.details()), dict(error.trailing_metadata())["x-end"])

    rpc = channel.unary_stream(method + "Stay")(b"", timeout=30)
    print("stay", next(rpc).decode())
    rpc.cancel()
    channel.close()


def pace(target, token=""):
    channel = grpc.secure_channel(target, grpc.ssl_channel_credentials())
    answered = threading.Semaphore(1)
    times = []

    def ask():
        for i in range(21):
            if not answered.acquire(timeout=30):
                return
            times.append(time.monotonic())
            yield b"message %d" % i

    metadata = (("authorization", "Bearer " + token),) if token else ()
    taken = []
    for _ in channel.stream_stream("/test.Echo/Both")(ask(), metadata=metadata, timeout=60):
        taken.append(time.monotonic() - times[-1])
        answered.release()
    taken = sorted(taken[1:])  # the first one opened the connection
    print("%.1f at least, %.1f median" % (1000 * taken[0], 1000 * taken[len(taken) // 2]))
    channel.close()


def pack(target, coding, text):
    compression = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}[coding]
    channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(), compression=compression)
    messages = [b"ordinary text, " * 2000, b"more of it, " * 2000, (b"text, " * 1000) + text.encode() + (b" text" * 1000)]
    answers = 0
    try:
        for answer in channel.stream_stream("/test.Echo/Both")(iter(messages), timeout=30):
            if answer == messages[answers].upper():
                answers += 1
        print(answers, "answers")
    except grpc.RpcError as error:
        print(error.code().name, error.details())
    channel.close()


if __name__ == "__main__":
    code = 1
    try:
        {"serve": serve, "call": call, "pack": pack, "pace": pace}[sys.argv[1]](*sys.argv[2:])
        code = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of the library may linger
