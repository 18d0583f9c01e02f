"""An answer survives its socket."""

from playwright.sync_api import expect
from toxic_proxy import Proxy

WORDS = [{"text": f"word{number} ", "delay_ms": 60} for number in range(60)]
WHOLE = " ".join(f"word{number}" for number in range(60))


def of_type(visited, kind):
    return [frame for frame in visited.watch.sent if frame["type"] == kind]


def begun(visited):
    visited.choose()
    visited.ask()
    expect(visited.page.locator("article")).to_contain_text("word3")


def test_f23_a_cut_socket_loses_no_word(serve, visit):
    server = serve(WORDS)
    with Proxy(server.port) as proxy:
        visited = visit(f"http://127.0.0.1:{proxy.port}")
        begun(visited)
        for heard in ("word20", "word35"):
            proxy.reset_all()
            expect(visited.page.locator("article")).to_contain_text(heard, timeout=20_000)
        done = visited.answer()
        expect(done).to_contain_text("word59", timeout=20_000)
        text = " ".join(done.inner_text().split())
        assert WHOLE in text
        assert len(of_type(visited, "response.create")) == 1
        resumed = of_type(visited, "response.resume")
        assert len(resumed) == 2
        assert all(frame["starting_after"] > 0 for frame in resumed)
