"""Hundreds of malformed requests, made from the studio's own description: never a fault."""

import contextlib
import json
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from studio_app import add_video, content, make_video, running

schemathesis = pytest.importorskip("schemathesis")
EXAMPLES = {schemathesis.GenerationMode.NEGATIVE: 8, schemathesis.GenerationMode.POSITIVE: 1}
ENDLESS = {"/api/events"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "clip.mp4")
    with running(folder) as client:
        add_video(client, folder / "clip.mp4")
        body = {"edit_id": "a", "contents": [content((0, 1, 1))]}
        assert client.post("/api/videos/1/tracks", json=body).status_code == 200
        yield client


def test_malformed_requests_are_refused_and_harm_nothing(client) -> None:
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    token, counts = client.headers["x-csrf"], Counter()
    for mode in EXAMPLES:
        for result in schema.get_all_operations():
            operation = result.ok()
            if operation.path not in ENDLESS:
                _ask(client, operation, mode, token, counts)
    assert sum(counts.values()) >= 200, counts
    assert sum(n for status, n in counts.items() if 400 <= status < 500) >= 200, counts
    assert client.get("/api/me").status_code == 200


def _ask(client, operation, mode, token: str, counts: Counter) -> None:
    @seed(0)
    @settings(
        max_examples=EXAMPLES[mode],
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case) -> None:
        sent = SimpleNamespace(**case.as_transport_kwargs(base_url="http://127.0.0.1"))
        headers = {k: str(v) for k, v in (sent.headers or {}).items()}
        headers = {k: v for k, v in headers.items() if k.lower() not in ("host", "x-csrf")}
        if not all(_can_be_sent(v) for v in (*headers, *headers.values())):
            return
        body = getattr(sent, "data", None)
        given_json = getattr(sent, "json", None)
        if given_json is not None:
            body = json.dumps(given_json).encode("utf-8", "surrogatepass")
            headers["content-type"] = "application/json"
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        answer = client.request(
            sent.method,
            sent.url,
            params=getattr(sent, "params", None),
            headers={**headers, "x-csrf": token},
            content=body if isinstance(body, bytes) else None,
        )
        counts[answer.status_code] += 1
        assert answer.status_code < 500, (sent, answer.text)
        if answer.status_code >= 400:
            detail = answer.json()["detail"]
            assert isinstance(detail, str)
            assert detail

    with contextlib.suppress(Unsatisfiable):  # it takes nothing that could be malformed
        ask()


def _can_be_sent(text: str) -> bool:
    return text.isascii() and text.isprintable()
