"""A headless Chromium with one page, driven over its DevTools protocol."""
import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

import websockets

PATIENCE_S = 60
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0")


class Chromium:
    """async with Chromium() as page. `page.complaints` is what the console, the network and the CSP had to say."""

    async def __aenter__(self):
        program = shutil.which("chromium")
        assert program, "there is no chromium: ./dev deps installs it"
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._process = subprocess.Popen([program, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
                                         env={**os.environ, "HOME": self._profile.name}, start_new_session=True,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._socket = await websockets.connect(await self._address(), max_size=None)
        except BaseException:
            self._end()
            raise
        self._ids, self._waiting, self.complaints = itertools.count(1), {}, []
        self._reader = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.send(f"{domain}.enable")
        return self

    async def __aexit__(self, *_):
        self._reader.cancel()
        await self._socket.close()
        self._end()

    def _end(self):
        os.killpg(self._process.pid, signal.SIGKILL)  # all the processes of this browser, and no other's
        self._process.wait(PATIENCE_S)
        self._profile.cleanup()

    async def _address(self):
        """Chromium writes its port into its profile when it listens."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self._process.poll() is None, f"chromium ended with {self._process.returncode}"
            assert time.monotonic() < deadline, "chromium never listens"
            try:
                with open(f"{self._profile.name}/DevToolsActivePort", encoding="utf-8") as file:
                    port = int(file.readline())
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE_S) as reply:
                    return next(t["webSocketDebuggerUrl"] for t in json.load(reply) if t["type"] == "page")
            except (OSError, ValueError, StopIteration):
                await asyncio.sleep(0.02)

    async def _read(self):
        async for text in self._socket:
            event = json.loads(text)
            if "id" in event:
                self._waiting.pop(event["id"]).set_result(event)
            else:
                self._note(event["method"], event["params"])

    def _note(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(params["args"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"])  # a violated CSP and what could not be loaded come this way
        elif method == "Network.responseReceived" and params["response"]["status"] >= 400:
            self.complaints.append(params["response"]["url"])

    async def send(self, method, **params):
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        event = await asyncio.wait_for(answer, PATIENCE_S + 10)
        assert "error" not in event, (method, event)
        return event["result"]

    async def value(self, expression):
        result = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, condition):
        """Waits in the page until the JavaScript condition holds; answers how long that took, in seconds."""
        begin = time.monotonic()
        await self.value(f"""new Promise((yes, no) => {{
            const end = performance.now() + {PATIENCE_S * 1000};
            (async function look() {{
              try {{
                if (await ({condition})) yes();
                else if (performance.now() > end) no(new Error("never: " + document.body.innerText));
                else setTimeout(look, 20);
              }} catch (error) {{ no(error); }}
            }})();
          }})""")
        return time.monotonic() - begin

    async def complains(self, text):
        """Waits for a complaint that has the text."""
        deadline = time.monotonic() + PATIENCE_S
        while not any(text in str(complaint) for complaint in self.complaints):
            assert time.monotonic() < deadline, f"no complaint about {text}: {self.complaints}"
            await asyncio.sleep(0.02)

    async def open(self, url):
        await self.send("Page.navigate", url=url)
        await self.until(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    async def resize(self, width, height):
        await self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                        mobile=width < 600)

    async def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode((await self.send("Page.captureScreenshot"))["data"]))
