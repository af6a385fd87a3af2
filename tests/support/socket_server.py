"""A service behind a socket, with the answers that a test gives it."""

from binascii import crc32
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from socket import create_server, socket
from threading import Event as Flag
from threading import Thread

Answer = Callable[[socket], None]


def reply(
    body: bytes,
    *,
    status: int = 200,
    request_id: bool = True,
    checksum: int | None = None,
    length: int | None = None,
) -> bytes:
    """Return a reply of DynamoDB or SQS as it stands on the wire."""
    lines = [
        f"HTTP/1.1 {status} X",
        "content-type: application/x-amz-json-1.0",
        f"content-length: {len(body) if length is None else length}",
        f"x-amz-crc32: {crc32(body) if checksum is None else checksum}",
        "connection: close",
    ]
    if request_id:
        lines.append("x-amzn-requestid: R1")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def error(code: str, message: str = "m", *, status: int = 400) -> bytes:
    """Return an error of DynamoDB or SQS as it stands on the wire."""
    body = f'{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"{message}"}}'
    return reply(body.encode(), status=status)


def request(connection: socket) -> tuple[bytes, bytes]:
    """Read a request to its end. A connection that is closed with a part unread takes its reply back."""
    head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split()[:1]
    while length and len(body) < int(length[0]) and (more := connection.recv(65536)):
        body += more
    return head, body


@contextmanager
def endpoint(*answers: bytes | Answer) -> Iterator[str]:
    """Yield the address of a server that gives one answer for each connection, and the last answer again and again."""
    listener, closed = create_server(("127.0.0.1", 0)), Flag()
    threads: SimpleQueue[Thread] = SimpleQueue()

    def converse(connection: socket, answer: bytes | Answer) -> None:
        with connection:
            try:
                if callable(answer):
                    answer(connection)
                    return
                request(connection)
                connection.sendall(answer)
            except OSError:
                return  # the client hung up

    def serve() -> None:
        left = list(answers)
        while not closed.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = Thread(target=converse, args=(connection, left.pop(0) if len(left) > 1 else left[0]))
            thread.start()
            threads.put(thread)

    server = Thread(target=serve)
    server.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        closed.set()
        _wake(listener)
        listener.close()
        server.join()
        while not threads.empty():
            threads.get().join()


def _wake(listener: socket) -> None:
    """Let `accept` return."""
    with socket() as waker:
        waker.connect(listener.getsockname())
