"""A real chromium without a window, spoken to over a pipe (DevTools protocol): no driver, no port, no network."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars"]
FLAGS += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]


class Page:
    """A browser's tab: what it asked the network for, what it complained about, and what it looks like."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers, self._number, self._rest = commands, answers, 0, b""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.session: str | None = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, file: Path, width: int, height: int = 900, scheme: str = "light") -> None:
        self.requests, self.complaints = [], []
        phone = width < 700
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", features=[feature])
        self.send("Page.navigate", url=file.resolve().as_uri())
        until = time.monotonic() + 60
        while self.evaluate("document.readyState") != "complete":
            assert time.monotonic() < until, f"{file} does not load"
            time.sleep(0.05)
        self.evaluate("new Promise(done => setTimeout(done, 200))")  # late requests and complaints

    def evaluate(self, expression: str) -> Any:
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self, path: Path, selector: str | None = None) -> None:
        options: dict[str, Any] = {"format": "png", "captureBeyondViewport": True}
        if selector is not None:
            box = f"(() => {{ const r = document.querySelector({selector!r}).getBoundingClientRect(); "
            box += "return {x: r.x + scrollX, y: r.y + scrollY, width: r.width, height: r.height, scale: 1} })()"
            options["clip"] = self.evaluate(box)
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", **options)["data"]))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], 60)
            assert ready, "the browser has not answered for a minute"
            chunk = os.read(self._answers, 1 << 16)
            assert chunk, "the browser has ended"
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.complaints.append(json.dumps(parameters))


@contextmanager
def headless_page(profile: Path) -> Iterator[Page]:
    """A tab of a browser of its own, which ends with the block."""
    assert CHROMIUM is not None
    commands_read, commands = os.pipe()
    answers, answers_write = os.pipe()
    words = f'exec "$0" "$@" 3<&{commands_read} 4>&{answers_write}'  # the pipe's ends must be 3 and 4
    process = subprocess.Popen(
        ["bash", "-c", words, CHROMIUM, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(commands_read, answers_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands_read)
    os.close(answers_write)
    try:
        yield Page(commands, answers)
    finally:
        os.close(commands)
        process.terminate()
        process.wait(timeout=20)
        os.close(answers)
