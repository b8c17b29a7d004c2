#!/usr/bin/env python3
"""live_page.py PROGRAM - the page of a node in a real browser: it follows what happens, and says when it cannot.

QH_SCREENSHOTS=DIR keeps pictures of what was seen.
"""
import asyncio
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))
from chromium import Chromium  # noqa: E402
from running_node import RunningNode  # noqa: E402

# Figures come each second; a submit shows with the next ones.
SHOWN_WITHIN_S = 5
GOSSIP = {"Gossip": {"topic": "page", "data": "0x00"}}


def cell(validator, label):
    row = f"[...document.querySelectorAll('#validators tr')].find(r => r.cells[0].textContent === '{validator}')"
    return f"{row}?.querySelector('td[data-label=\"{label}\"]')?.textContent"


async def look(page, name):
    """At both widths: nothing is wider than the window."""
    for width, height in ((390, 844), (1280, 800)):
        await page.resize(width, height)
        await page.until("new Promise(requestAnimationFrame)")
        wider = await page.value("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"at {width} px the page is {wider} px too wide"
        if directory := os.environ.get("QH_SCREENSHOTS"):
            await page.screenshot(f"{directory}/{name}-{width}.png")


async def follow(page, node):
    await page.open(f"http://127.0.0.1:{8080 + node.offset}/")
    assert await page.value("location.pathname") == "/qssh-queue-manager.html"
    await page.until("document.querySelector('#link').dataset.state === 'live'")
    for name, port in (("alice", 9944), ("bob", 9945), ("charlie", 9946)):
        await page.until(f"{cell(name, 'state')} === 'running'")
        assert await page.value(cell(name, "port")) == str(port + node.offset)
        assert await page.value(cell(name, "queued")) == "0"

    for _ in range(3):
        node.call("qssh_submitMessage", GOSSIP)
    took = await page.until(f"{cell('alice', 'queued')} === '3'")
    assert took < SHOWN_WITHIN_S, f"a submit showed after {took:.1f} s"
    assert await page.value(cell("bob", "queued")) == "0"
    node.call("qssh_popMessage")
    assert await page.until(f"{cell('alice', 'queued')} === '2'") < SHOWN_WITHIN_S
    await page.until("document.querySelector('[data-key=queue_depth]').textContent === '2'")
    await look(page, "running")

    node.call("node_stopValidator", {"name": "bob"})
    await page.until(f"{cell('bob', 'state')} === 'stopped'")
    assert await page.value(cell("bob", "queued")) == "–", "a figure that nobody sent"
    node.call("node_addValidator", {"name": "dave"})
    await page.until(f"{cell('dave', 'state')} === 'running'")
    await page.until("document.querySelector('[data-key=validators]').textContent === '4'")
    await look(page, "stopped")
    assert page.complaints == [], page.complaints


async def follow_under_another_name(page, node):
    """An own page too: its Origin is not the one of 127.0.0.1."""
    await page.open(f"http://alice.localhost:{8080 + node.offset}/")
    await page.until("document.querySelector('#link').dataset.state === 'live'")


async def survive_silence(page, node):
    """A connection that dies silently, here since nobody serves it, is given up for a new one."""
    node.send_signal(signal.SIGSTOP)
    try:
        await page.until("document.querySelector('#link').textContent.startsWith('no figures for 5 s; trying again')")
        # The one that was tried then gets no answer either.
        await page.until("document.querySelector('#link').textContent.includes('trying again in 1.0 s')")
    finally:
        node.send_signal(signal.SIGCONT)
    await page.until("document.querySelector('#link').dataset.state === 'live'")


async def main():
    async with Chromium() as page:
        with RunningNode(sys.argv[1], ["--dev"]) as node:
            await follow(page, node)
            await follow_under_another_name(page, node)
            await survive_silence(page, node)
        await page.until("document.querySelector('#link').dataset.state === 'disconnected'")
        assert await page.value("document.body.classList.contains('stale')"), "old figures look like new ones"
        await look(page, "disconnected")
        # A page that can complain does: this must not load, or the list above is empty for nothing.
        await page.value("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:1/x.png'}))")
        await page.complains("Content Security Policy")
    print("the page follows, and says when it cannot")


if __name__ == "__main__":
    asyncio.run(main())
