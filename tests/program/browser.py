"""Opens pages in a headless Chromium, over the pipe of its debugging protocol: no port, no package.

    with Browser("chromium") as browser:
        browser.open("/path/page.html", width=390, dark=True)
        browser.evaluate("document.title")
        browser.seen            what went wrong since then: console messages, exceptions, requests
"""
import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

LIMIT_S = 60


class Browser:
    def __init__(self, program):
        self.profile = tempfile.mkdtemp(prefix="browser-")
        to_read, self.to = os.pipe()
        self.from_, to_write = os.pipe()
        # Chromium reads its commands from descriptor 3, and answers on 4. Higher copies first: one of the pipe's own may be 3 or 4.
        read_copy, write_copy = os.dup(to_read), os.dup(to_write)
        self.log = open(os.path.join(self.profile, "log"), "wb")
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
                     "--user-data-dir=" + self.profile, "about:blank"]
        command = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        self.process = subprocess.Popen(["bash", "-c", command, "bash", str(read_copy), str(write_copy), program] + arguments,
                                        pass_fds=(read_copy, write_copy), stdout=self.log, stderr=self.log, start_new_session=True)
        for descriptor in (to_read, to_write, read_copy, write_copy):
            os.close(descriptor)
        self.buffer, self.number, self.session, self.seen, self.loaded = b"", 0, None, [], False
        self.own = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.session = None
            self.call("Browser.close")
            self.process.wait(10)
        except Exception:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def _message(self, until):
        while b"\0" not in self.buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.from_], [], [], left)[0]:
                raise TimeoutError("the browser does not answer")
            chunk = os.read(self.from_, 1 << 16)
            if not chunk:
                raise EOFError("the browser has ended: " + pathlib.Path(self.log.name).read_text(errors="replace")[-500:])
            self.buffer += chunk
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def _note(self, message):
        method, params = message.get("method", ""), message.get("params", {})
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.consoleAPICalled":
            self.seen.append("console: " + json.dumps(params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.seen.append("exception: " + params["exceptionDetails"]["text"])
        elif method == "Log.entryAdded":
            self.seen.append("log: " + params["entry"]["text"])
        elif method == "Network.requestWillBeSent" and params["request"]["url"] != self.own and not params["request"]["url"].startswith("data:"):
            self.seen.append("request: " + params["request"]["url"])

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + LIMIT_S
        while True:
            answer = self._message(until)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(method + ": " + answer["error"]["message"])
                return answer["result"]
            self._note(answer)

    def open(self, path, width=1280, dark=False, media="screen"):
        """Opens the page as a window of this width shows it; `seen` begins anew."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", media=media,
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.own, self.seen, self.loaded = pathlib.Path(path).resolve().as_uri(), [], False
        self.call("Page.navigate", url=self.own)
        until = time.monotonic() + LIMIT_S
        while not self.loaded:
            self._note(self._message(until))
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"]))
        return result["result"].get("value")

    def screenshot(self, path, clip=None):
        """A PNG of the whole page, or of clip: (x, y, width, height)."""
        more = {"clip": dict(zip(("x", "y", "width", "height"), clip), scale=1)} if clip else {}
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, **more)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def pdf(self):
        self.call("Emulation.setEmulatedMedia", media="print")
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)["data"])
