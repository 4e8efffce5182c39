"""A table of DynamoDB's in memory, for ledger.py: what the ledger asks of one item, over connections that stay open, as DynamoDB's do.

python benchmarks/dynamodb.py PORT [CERTIFICATE KEY]    # with a certificate over TLS, else plainly
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import zlib
from typing import Any

items: dict[str, dict[str, Any]] = {}


def answer(operation: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and body."""
    if operation == "GetItem":
        found = items.get(request["Key"]["id"]["S"])
        return 200, {} if found is None else {"Item": found}
    assert operation == "PutItem", operation
    name = request["Item"]["id"]["S"]
    found = items.get(name)
    if request["ConditionExpression"] == "attribute_not_exists(id)":
        holds = found is None
    else:
        assert request["ConditionExpression"] == "#version = :before"
        holds = found is not None and found["version"] == request["ExpressionAttributeValues"][":before"]
    if holds:
        items[name] = request["Item"]
        return 200, {}
    refused = {
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
    }
    return 400, refused | ({} if found is None else {"Item": found})


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
            assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=")
            status, told = answer(headers["x-amz-target"].partition(".")[2], json.loads(body))
            text = json.dumps(told, separators=(",", ":")).encode()
            writer.write(
                (
                    f"HTTP/1.1 {status} {'OK' if status == 200 else 'Bad Request'}\r\n"
                    "Server: Server\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\nContent-Type: application/x-amz-json-1.0\r\n"
                    f"Content-Length: {len(text)}\r\nConnection: keep-alive\r\n"
                    "x-amzn-RequestId: 4442587FB7D0A2F9QG8R6K5T8BVV4KQNSO5AEMVJF66Q9ASUAAJG\r\n"
                    f"x-amz-crc32: {zlib.crc32(text)}\r\n\r\n"
                ).encode()
                + text
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(port: int, certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
