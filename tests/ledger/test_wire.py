"""The ledger's own requests: signed as botocore signs, answers as botocore's client gives them, connections as TCP has them."""

import contextlib
import datetime
import json
import multiprocessing
import os
import socket
import ssl
import subprocess
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)
from hypothesis import given
from hypothesis import strategies as st

from millstream.ledger import answer
from millstream.ledger.wire import Keys, Signer, Wire

pytestmark = pytest.mark.once

KEYS = Keys("AKIDEXAMPLE", "secret/canary+7q5d0", "token-canary-7q5d0==")
TYPE = "application/x-amz-json-1.0"
OK, REFUSED = (
    b'{"Item":{"id":{"S":"a"}}}',
    b'{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"no"}',
)


# --- signatures ----------------------------------------------------------------------------------------------------------

in_header = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
hosts = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,30}[a-z0-9])?(:[1-9][0-9]{0,3})?", fullmatch=True).filter(
    lambda host: not host.endswith((":80", ":443"))
)


@given(
    keys=st.builds(Keys, in_header, in_header, st.just("") | in_header),
    host=hosts,
    region=st.from_regex(r"[a-z]{2}-[a-z]{4,9}-[0-9]", fullmatch=True),
    now=st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2099, 1, 1)),
    operation=st.sampled_from(["GetItem", "PutItem"]),
    bodies=st.lists(st.binary(max_size=300), min_size=1, max_size=3),
)
def test_requests_are_signed_as_botocore_signs_them(keys, host, region, now, operation, bodies):
    signer = Signer(host, region)
    now = now.replace(microsecond=0, tzinfo=datetime.UTC)
    for body in bodies:  # the later ones with what is remembered of the first
        head = signer.head(keys, now.timestamp(), operation, body)
        headers = {"Content-Type": TYPE, "X-Amz-Target": f"DynamoDB_20120810.{operation}"}
        request = AWSRequest("POST", f"https://{host}/", headers, body)
        with mock.patch.object(auth, "get_current_datetime", return_value=now.replace(tzinfo=None)):
            auth.SigV4Auth(Credentials(keys.access, keys.secret, keys.token or None), "dynamodb", region).add_auth(request)
        told = dict(line.split(": ", 1) for line in head.removesuffix("\r\n\r\n").split("\r\n")[1:])
        assert told == {
            **dict(request.headers.items()),
            "Host": host,
            "User-Agent": told["User-Agent"],
            "Content-Length": str(len(body)),
        }


def test_what_is_remembered_of_a_signature_is_of_its_day_and_keys():
    used, day = Signer("a", "eu-central-1"), 86400
    for keys, now in ((KEYS, 0), (KEYS, day), (KEYS._replace(secret="x"), day), (KEYS, day), (KEYS._replace(token=""), 0)):
        assert used.head(keys, now, "PutItem", b"{}") == Signer("a", "eu-central-1").head(keys, now, "PutItem", b"{}")


# --- answers -------------------------------------------------------------------------------------------------------------


def answered(body=OK, status="200 OK", *headers, length=None, version="HTTP/1.1"):
    lines = [f"{version} {status}", "Server: Server", "x-amzn-RequestId: R1", *headers]
    if length is not False:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Server:
    """Answers by a script: of each connection, the pieces of each answer; after the last the connection ends."""

    def __init__(self, *connections, context=None, threads=False):
        self.script, self.context, self.threads = list(connections), context, threads
        self.requests, self.connections = [], 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://localhost:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        for answers in self.script:
            try:
                one, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            if self.threads:
                threading.Thread(target=self._answer, args=(one, answers), daemon=True).start()
            else:
                self._answer(one, answers)

    def _answer(self, one, answers):
        with contextlib.suppress(OSError, EOFError), one:
            one.settimeout(10)
            if self.context is not None:
                one = self.context.wrap_socket(one, server_side=True)
            with one:
                for pieces in answers:
                    self._read(one)
                    for piece in pieces:
                        if isinstance(piece, bytes):
                            one.sendall(piece)
                        else:
                            piece()

    def _read(self, one):
        data = b""
        while b"\r\n\r\n" not in data or len(data) < data.index(b"\r\n\r\n") + 4 + _length(data):
            came = one.recv(65536)
            if not came:
                raise EOFError
            data += came
        self.requests.append(data)

    def wire(self, **seconds):
        return Wire(self.url, "eu-central-1", seconds.pop("authority", None), seconds.get("connect", 5), seconds.get("read", 5))

    def close(self):
        self._socket.close()


def _length(data):
    return next(int(line[15:]) for line in data.split(b"\r\n") if line.startswith(b"Content-Length:"))


@pytest.fixture
def serve():
    made = []

    def make(*connections, **options):
        made.append(Server(*connections, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def ask(wire, **request):
    return wire.ask("PutItem", request or {"a": 1}, KEYS)


CHUNKED = "Transfer-Encoding: chunked"
IN_CHUNKS = b"%x\r\n%s\r\n%x;note=1\r\n%s\r\n0\r\n\r\n" % (5, OK[:5], len(OK) - 5, OK[5:])

FINE = {
    "plain": [answered()],
    "in pieces": [answered()[at : at + 7] for at in range(0, len(answered()), 7)],
    "byte by byte": [answered()[at : at + 1] for at in range(len(answered()))],
    "checksum": [answered(OK, "200 OK", f"x-amz-crc32: {zlib.crc32(OK)}")],
    "no reason": [answered(OK, "200")],
    "names in capitals": [answered().upper().replace(OK.upper(), OK)],
    "closing": [answered(OK, "200 OK", "Connection: close")],
    "chunks": [answered(IN_CHUNKS, "200 OK", CHUNKED, length=False)],
    "chunks in pieces": [bytes([one]) for one in answered(IN_CHUNKS, "200 OK", CHUNKED, length=False)],
    "until the end": [answered(OK, "200 OK", "Connection: close", length=False)],
    "HTTP/1.0": [answered(version="HTTP/1.0")],
    "interim": [b"HTTP/1.1 100 Continue\r\n\r\n", answered()],
    "more behind it": [answered() + b"HTTP/1.1 200 OK\r\n"],
}


@pytest.mark.parametrize("pieces", FINE.values(), ids=FINE)
def test_an_answer_is_read_however_it_comes(serve, pieces):
    server = serve([pieces], [[answered()]])
    wire = server.wire()
    assert ask(wire) == json.loads(OK)
    wait_for_the_end(wire)
    assert ask(wire) == json.loads(OK)
    assert server.connections == 2
    wire.close()


LOST = {
    "nothing": [],
    "half a head": [answered()[:20]],
    "half a body": [answered(length=len(OK) + 1)],
    "other bytes": [answered(OK, "200 OK", "x-amz-crc32: 1")],
    "a checksum that is none": [answered(OK, "200 OK", "x-amz-crc32: x")],
    "no JSON": [answered(b"<html>")],
    "no object": [answered(b"[1]")],
    "empty": [answered(b"")],
    "a length twice": [answered(OK, "200 OK", "Content-Length: 3")],
    "no HTTP": [b"SSH-2.0-OpenSSH_9.6\r\n\r\n"],
    "half a chunk": [answered(b"40\r\n{", "200 OK", CHUNKED, length=False)],
    "chunks that are none": [answered(b"zz\r\n{}\r\n", "200 OK", CHUNKED, length=False)],
    "too large": [answered(length=answer.MOST_BYTES + 1)],
    "far too large": [answered(length="9" * 4300)],
    "an endless head": [b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 40_000],
    "endless chunks": [answered(b"", "200 OK", CHUNKED, length=False), *[b"100000\r\n" + bytes(1 << 20) + b"\r\n"] * 17],
    "endless interims": [b"HTTP/1.1 100 Continue\r\n\r\n" * 3],
}


@pytest.mark.parametrize("pieces", LOST.values(), ids=LOST)
def test_what_is_no_whole_answer_is_a_lost_connection(serve, pieces):
    server = serve([pieces], [[answered()]])
    wire = server.wire()
    with pytest.raises(ConnectionClosedError) as error:
        ask(wire)
    told(error.value)
    wait_for_the_end(wire)
    assert ask(wire) == json.loads(OK)
    assert len(server.requests) == 2  # none was made again unasked
    wire.close()


def told(error):
    """Nothing of what was sent is told."""
    assert "canary" not in f"{error!r} {error} {vars(error)} {error.__cause__!r}"


@pytest.mark.parametrize(
    ("body", "status", "code", "more"),
    [
        (REFUSED, "400 Bad Request", "ConditionalCheckFailedException", {}),
        (
            REFUSED[:-1] + b',"Item":{"a":{"S":"b"}}}',
            "400 Bad Request",
            "ConditionalCheckFailedException",
            {"Item": {"a": {"S": "b"}}},
        ),
        (b'{"__type":"ThrottlingException:http://x#y","Message":"slow"}', "400 Bad Request", "ThrottlingException", {}),
        (b'{"__type":"InternalServerError"}', "500 Internal Server Error", "InternalServerError", {}),
        (b"<html></html>", "503 Service Unavailable", "503", {}),
        (b"", "403 Forbidden", "403", {}),
        (b'{"__type":7,"Error":{"Code":"x"},"ResponseMetadata":1}', "400 Bad Request", "400", {}),
        (b"[1]", "404 Not Found", "404", {}),
        (b"", "307 Temporary Redirect", "307", {}),
    ],
)
def test_a_refusal_is_told_as_botocore_tells_it(serve, body, status, code, more):
    server = serve([[answered(body, status)], [answered()]])
    wire = server.wire()
    with pytest.raises(ClientError) as error:
        ask(wire)
    found = error.value.response
    assert found["Error"]["Code"] == code
    about = found["ResponseMetadata"]
    assert (about["HTTPStatusCode"], about["RequestId"]) == (int(status[:3]), "R1")
    assert {name: value for name, value in found.items() if name not in ("Error", "ResponseMetadata")} == more
    told(error.value)
    ask(wire)
    assert server.connections == 1  # it stays open
    wire.close()


# --- connections ---------------------------------------------------------------------------------------------------------


def test_a_connection_is_used_again_until_it_ends(serve):
    server = serve([[answered()]] * 2, [[answered()], [answered(OK, "200 OK", "Connection: close")]], [[answered()]])
    wire = server.wire()
    for _ in range(2):
        ask(wire)
    wait_for_the_end(wire)
    for _ in range(3):
        ask(wire)
    assert server.connections == 3
    wire.close()


def wait_for_the_end(wire):
    for _, watch in wire._idle:
        assert watch.poll(5000)


def test_a_connection_that_ends_under_a_request_is_lost_and_so_are_those_beside_it(serve):
    server = serve([[answered()]], [[answered()]], [[answered()]])
    wire = server.wire()
    ask(wire)
    first = wire._idle[0]
    wait_for_the_end(wire)
    blind = mock.Mock(poll=lambda _: [])  # as where the end is still on its way
    wire._idle[:] = [(first[0], first[1]), (first[0], blind)]
    with pytest.raises(ConnectionClosedError):
        ask(wire)
    assert wire._idle == []
    assert ask(wire) == json.loads(OK)
    wire.close()


def test_threads_have_connections_of_their_own(serve):
    both = threading.Barrier(2)
    server = serve(
        [[both.wait, answered()]] + [[answered()]] * 30, [[both.wait, answered()]] + [[answered()]] * 30, threads=True
    )
    wire = server.wire()

    def work(_):
        return [ask(wire) for _ in range(20)]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [[json.loads(OK)] * 20] * 2
    assert (server.connections, len(server.requests)) == (2, 40)
    wire.close()


def test_a_child_of_a_fork_has_its_own(serve):
    server = serve(
        [
            [
                answered(),
            ]
        ]
        * 2,
        [[answered()]],
    )
    wire = server.wire()
    ask(wire)
    child = multiprocessing.get_context("fork").Process(
        target=lambda: os._exit(0 if not wire._taken() and not wire._idle else 1)
    )
    child.start()
    child.join(20)
    assert child.exitcode == 0
    ask(wire)
    assert server.connections == 1
    wire.close()


def test_what_takes_too_long_is_told_in_time(serve):
    begun = time.monotonic()
    slow = [answered()[:30], *[lambda: time.sleep(0.1), b"a"] * 20]
    server = serve([[lambda: time.sleep(1)]], [slow])
    wire = server.wire(read=0.4)
    for _ in range(2):
        with pytest.raises(ReadTimeoutError) as error:
            ask(wire)
        told(error.value)
    assert time.monotonic() - begun < 2
    wire.close()


def test_where_nobody_listens(serve):
    server = serve()
    server.close()
    with pytest.raises(EndpointConnectionError) as error:
        ask(server.wire())
    told(error.value)
    with pytest.raises(EndpointConnectionError):
        ask(Wire("http://nowhere.invalid", "eu-central-1", None, 1, 1))
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    url = f"http://127.0.0.1:{full.getsockname()[1]}"
    waiting = []
    for _ in range(4):  # more than it takes in
        waiting.append(socket.socket())
        waiting[-1].setblocking(False)
        waiting[-1].connect_ex(full.getsockname())
    with pytest.raises(ConnectTimeoutError):
        ask(Wire(url, "eu-central-1", None, 0.2, 1))
    for one in [full, *waiting]:
        one.close()


# --- TLS -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Files of certificates and their keys, by the name that they are of."""
    folder, made = tmp_path_factory.mktemp("certificates"), {}
    for name in ("localhost", "elsewhere"):
        made[name] = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
             "-keyout", made[name][1], "-out", made[name][0]],
            check=True, capture_output=True,
        )  # fmt: skip
    return made


def server_context(certificates, name="localhost"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates[name])
    return context


def test_over_tls_a_connection_is_used_again(serve, certificates):
    server = serve([[answered()]] * 3, [[answered()]], context=server_context(certificates))
    wire = server.wire(authority=certificates["localhost"][0])
    for _ in range(3):
        assert ask(wire) == json.loads(OK)
    assert server.connections == 1
    wait_for_the_end(wire)
    ask(wire)
    assert server.connections == 2
    wire.close()


@pytest.mark.parametrize(("name", "authority"), [("elsewhere", "elsewhere"), ("localhost", "elsewhere"), ("localhost", None)])
def test_who_cannot_show_who_he_is_gets_nothing(serve, certificates, name, authority):
    server = serve([[answered()]], context=server_context(certificates, name))
    wire = server.wire(authority=certificates[authority][0] if authority else None)
    with pytest.raises(SSLError) as error:
        ask(wire)
    told(error.value)
    assert server.requests == []
