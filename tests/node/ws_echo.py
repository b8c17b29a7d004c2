#!/usr/bin/env python3
"""ws_echo.py PROGRAM - examples/ws_echo against Python's websockets, which we did not write, and against broken frames.

RFC 6455: whole and fragmented messages, control frames between them, and the close code for each kind of nonsense.
"""
import asyncio
import os
import re
import subprocess
import sys

import websockets

HANDSHAKE = (b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
NO_MASK = b"\0\0\0\0"
NONSENSE = {
    "text that is no UTF-8": (b"\x81\x82" + NO_MASK + b"\xc3\x28", 1007),
    "a frame without a mask": (b"\x81\x02hi", 1002),
    "a reserved bit": (b"\xc1\x82" + NO_MASK + b"hi", 1002),
    "a control frame of 126 bytes": (b"\x89\xfe\x00\x7e" + NO_MASK + b"x" * 126, 1002),
    "a fragmented ping": (b"\x09\x80" + NO_MASK, 1002),
    "an unknown opcode": (b"\x83\x80" + NO_MASK, 1002),
    "a continuation of nothing": (b"\x80\x80" + NO_MASK, 1002),
    "a close code that nobody may send": (b"\x88\x82" + NO_MASK + b"\x03\xed", 1002),
}


async def echoes(port):
    async with websockets.connect(f"ws://127.0.0.1:{port}/", max_size=None) as peer:
        for message in ("", "hello", "üé" * 5000, b"", os.urandom(126), os.urandom(65536), os.urandom(5_000_000)):
            await peer.send(message)
            assert await peer.recv() == message, (type(message), len(message))
        await peer.send(["frag", "men", "ted"])
        assert await peer.recv() == "fragmented"
        await asyncio.wait_for(await peer.ping(), 20)
        for i in range(1000):
            await peer.send(str(i))
        for i in range(1000):
            assert await peer.recv() == str(i), i
    assert peer.close_code == 1000, peer.close_code


async def refuses(port, name, frame, code):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HANDSHAKE + frame)
    answer = (await asyncio.wait_for(reader.read(-1), 20)).split(b"\r\n\r\n", 1)[1]
    assert answer[0] == 0x88 and int.from_bytes(answer[2:4], "big") == code, (name, answer[:20])
    writer.close()


async def sends_nothing_else(port):
    """An echo is no state: no pings stand behind it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HANDSHAKE + b"\x81\x82" + NO_MASK + b"hi" + b"\x88\x82" + NO_MASK + b"\x03\xe8")
    answer = (await asyncio.wait_for(reader.read(-1), 20)).split(b"\r\n\r\n", 1)[1]
    assert answer == b"\x81\x02hi\x88\x02\x03\xe8", answer
    writer.close()


async def main(port):
    await echoes(port)
    await sends_nothing_else(port)
    for name, (frame, code) in NONSENSE.items():
        await refuses(port, name, frame, code)


def check_usage(program):
    def run(*words):
        done = subprocess.run([program, *words], capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, done.stdout, done.stderr
    code, told, _ = run("--help")
    assert code == 0 and told.startswith("usage: ws_echo [PORT]") and told.count("\n") == 1, (code, told)
    for words in (["70000"], ["-1"], ["x"], ["90x"], [""], ["--port"], ["1", "2"], ["--help", "1"]):
        assert run(*words) == (2, "", told), words


if __name__ == "__main__":
    check_usage(sys.argv[1])
    server = subprocess.Popen([sys.argv[1], "0"], stdout=subprocess.PIPE, text=True)
    try:
        got = re.fullmatch(r"ws://127\.0\.0\.1:([1-9]\d*)\n", server.stdout.readline())
        asyncio.run(main(int(got[1])))
    finally:
        server.terminate()
        server.wait(20)
