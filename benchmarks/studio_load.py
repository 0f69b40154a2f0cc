"""Many annotators at once on one studio, over HTTP on this machine; also while it is killed.

    python benchmarks/studio_load.py [--seconds 60] [--database postgres] [--kills 30]

Each of 20 annotators makes 2 edits a second and listens to what the others do. An edit adds a click
to a track: every fifth to one that four of them share, where another is often faster (the answer is
409 with both changes merged, which is sent again), the others to one of their own. A request that
gets no answer, because the server was killed with kill -9, is sent again with the same edit_id.

At the end every click that was acknowledged must be in its track, and no edit may have happened
twice. The exit code is 1 when an edit is lost or doubled, when a request failed, or (without kills)
when 95 % of the requests took more than 100 ms.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from studio_app import make_video
from studio_server import Server

LIMIT_MS = 100
SHARED_EVERY = 5  # edits
SHARED_BY = 4  # annotators
PATIENCE_SECONDS = 60  # for a server that was killed
NO_ANSWER = (OSError, http.client.HTTPException)


class Wrong(Exception):
    """An answer that should not be."""


@dataclass
class Annotator:
    """Adds clicks at a steady rate, and remembers what was acknowledged."""

    number: int
    port: int
    token: str
    headers: dict[str, str] = field(default_factory=dict)
    clicks: dict[tuple[int, int], float] = field(default_factory=dict)  # (track, frame) -> x
    taken: list[float] = field(default_factory=list)  # milliseconds of answered requests
    conflicts: int = 0
    repeats: int = 0  # requests that got no answer, and were sent again
    wrong: list[str] = field(default_factory=list)
    events: int = 0
    _line: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: dict | None = None) -> tuple[int, Any]:
        """Status and JSON; again and again, while there is no server."""
        end = time.monotonic() + PATIENCE_SECONDS
        text = None if body is None else json.dumps(body)
        headers = {"x-csrf": self.token, "content-type": "application/json"}
        while True:
            self._line = self._line or http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=30
            )
            began = time.perf_counter()
            try:
                self._line.request(method, path, text, headers)
                answer = self._line.getresponse()
                content = answer.read()
            except NO_ANSWER:
                self._line.close()
                self._line = None
                self.repeats += 1
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
                continue
            self.taken.append(1000 * (time.perf_counter() - began))
            return answer.status, json.loads(content)

    def create(self, video: int) -> dict:
        body = {
            "edit_id": uuid.uuid4().hex,
            "contents": [{"name": f"annotator {self.number}", "assist": "linear"}],
        }
        status, tracks = self.ask("POST", f"/api/videos/{video}/tracks", body)
        if status != 200:
            raise Wrong(f"{status} {tracks}")
        return tracks[0]

    def add_click(self, track: dict, frame: int) -> dict:
        """The track with one more click."""
        x = 1 + self.number + frame / 1000
        edit = {"edit_id": uuid.uuid4().hex, "kind": "click"}
        content = with_click(track["content"], frame, x)
        while True:
            body = {**edit, "base_version": track["version"], "content": content}
            status, said = self.ask("PUT", f"/api/tracks/{track['id']}", body)
            if status == 409:
                self.conflicts += 1
                track = said["current"]
                content = said["merged"] or with_click(track["content"], frame, x)
                continue
            if status != 200:
                raise Wrong(f"{status} {said}")
            self.clicks[track["id"], frame] = x
            return said

    def work(self, video: int, shared: dict, edits: int, pause: float, begin: float) -> None:
        """`edits` of them, one every `pause` seconds."""
        try:
            mine = self.create(video)
            for k in range(edits):
                due = begin + pause * (k + self.number / 20)
                time.sleep(max(0.0, due - time.monotonic()))
                if k % SHARED_EVERY:
                    mine = self.add_click(mine, k)
                else:
                    shared = self.add_click(shared, SHARED_BY * k + self.number % SHARED_BY)
        except (Wrong, *NO_ANSWER) as error:
            self.wrong.append(repr(error))

    def listen(self, video: int, over: threading.Event) -> None:
        """Counts events, connecting again as a browser does."""
        last = ""
        while not over.is_set():
            line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            with suppress(*NO_ANSWER):
                headers = {"last-event-id": last} if last else {}
                line.request("GET", f"/api/events?video={video}", headers=headers)
                stream = line.getresponse()
                while (text := stream.readline()) and not over.is_set():
                    if text.startswith(b"id:"):
                        last, self.events = text[3:].strip().decode(), self.events + 1
            line.close()
            over.wait(0.2)


def with_click(content: dict, frame: int, x: float) -> dict:
    """A content with one more click, or that click moved."""
    clicks = [click for click in content["clicks"] if click["frame"] != frame]
    clicks.append({"frame": frame, "x": x, "y": 5.0})
    return {**content, "clicks": sorted(clicks, key=lambda click: click["frame"])}


def kill_now_and_then(server: Server, times: int, seconds: float) -> None:
    """kill -9 at random moments, and a new start each time."""
    random.seed(0)
    for _ in range(times):
        time.sleep(random.uniform(0, 2 * seconds / times))
        server.kill()
        server.start()


def check(annotators: list[Annotator], video: int) -> tuple[int, int]:
    """(lost, doubled): acknowledged clicks that are not there, versions that nobody made."""
    _, tracks = annotators[0].ask("GET", f"/api/videos/{video}/tracks")
    clicks = {(t["id"], c["frame"]): c["x"] for t in tracks for c in t["content"]["clicks"]}
    acknowledged = [item for annotator in annotators for item in annotator.clicks.items()]
    lost = sum(clicks.get(key) != x for key, x in acknowledged)
    versions = sum(track["version"] - 1 for track in tracks)
    return lost, versions - len(acknowledged)


def load(folder: Path, args: argparse.Namespace, options: list[str]) -> bool:
    """Runs it and prints what came out; whether all is well."""
    edits = round(args.seconds * args.rate)
    make_video(folder / "clip.mp4", frames=SHARED_BY * edits)
    with Server(folder, "--workers", str(args.workers), *options) as server:
        with server.client() as client:
            video = client.get("/api/videos").json()[0]["id"]
            token = client.headers["x-csrf"]
        annotators = [Annotator(n, server.port, token) for n in range(args.annotators)]
        shared = [annotator.create(video) for annotator in annotators[::SHARED_BY]]
        over, begin, pause = threading.Event(), time.monotonic() + 0.5, 1 / args.rate
        plan = [
            (a.work, (video, shared[a.number // SHARED_BY], edits, pause, begin))
            for a in annotators
        ]
        plan += [(a.listen, (video, over)) for a in annotators if not args.deaf]
        threads = [threading.Thread(target=f, args=given, daemon=True) for f, given in plan]
        for thread in threads:
            thread.start()
        if args.kills:
            kill_now_and_then(server, args.kills, args.seconds)
        for thread in threads[: len(annotators)]:
            thread.join()
        seconds = time.monotonic() - begin
        over.set()
        lost, doubled = check(annotators, video)
    return told(args, annotators, seconds, lost, doubled)


def told(
    args: argparse.Namespace, annotators: list[Annotator], seconds: float, lost: int, doubled: int
) -> bool:
    taken = [ms for annotator in annotators for ms in annotator.taken]
    p50, p95 = np.percentile(taken, [50, 95])
    made = sum(len(annotator.clicks) for annotator in annotators)
    total = {
        name: sum(getattr(annotator, name) for annotator in annotators)
        for name in ("conflicts", "repeats", "events")
    }
    wrong = [text for annotator in annotators for text in annotator.wrong]
    print(
        f"{args.database}: {made} edits by {len(annotators)} annotators in {seconds:.1f} s, "
        f"{args.kills} kills, {total['conflicts']} conflicts merged, {total['repeats']} requests "
        f"sent again, {total['events']} events heard"
    )
    print(
        f"requests: median {p50:.1f} ms, 95 % {p95:.1f} ms, longest {max(taken):.1f} ms; "
        f"{len(wrong)} errors, {lost} lost, {doubled} doubled"
    )
    for text in wrong[:5]:
        print(text)
    slow = not args.kills and p95 > args.limit
    return not (wrong or lost or doubled or slow)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--annotators", type=int, default=20)
    parser.add_argument("--rate", type=float, default=2, help="edits a second of each")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--limit", type=float, default=LIMIT_MS, help="ms that 95 %% may take")
    parser.add_argument("--deaf", action="store_true", help="nobody listens to events")
    args = parser.parse_args()
    options = []
    if args.database == "postgres":
        from postgres import new_database

        options = ["--database", new_database()]
    with tempfile.TemporaryDirectory() as folder:
        return int(not load(Path(folder), args, options))


if __name__ == "__main__":
    sys.exit(main())
