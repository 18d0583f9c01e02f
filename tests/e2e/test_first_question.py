"""What a newcomer meets: start the server, look at the page, ask the demo manuals."""

import httpx
from wire import open_client

from protocol.asyncapi import build_document
from server.app import SERVER_VERSION
from server.demo import catalog_path


async def test_the_demo_answers_from_its_manual_with_a_verified_quote(server):
    target = server(None, "--catalog", str(catalog_path()), "--model", "extractive")
    async with httpx.AsyncClient(base_url=target.url, trust_env=False) as http:
        assert (await http.get("/health")).json() == {"status": "ok"}
        assert (await http.get("/ready")).status_code == 200
        page = await http.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert (await http.get("/asyncapi.json")).json() == build_document(SERVER_VERSION)
    async with open_client(target.url) as client:
        await client.send("catalog.search", query="od12")
        found = (await client.until("catalog.results"))["products"][0]
        assert found["manual"]["available"]
        question = "How do I reset the module to its factory settings?"
        await client.ask(question, product_id=found["id"], event_id="q")
        events = await client.answer("q")
    final = events[-1]["response"]
    assert final["status"] == "completed"
    assert final["model"] == "extractive"
    quotes = [item for item in final["items"] if item["type"] == "citation"]
    assert quotes
    assert all(quote["verified"] for quote in quotes)
    assert final["receipt"]
    assert final["cost_usd"] == 0


def test_the_signing_key_is_made_once_private_and_never_logged(server):
    """It is kept in the data folder, so that a receipt outlives its process."""
    target = server()
    key = (target.folder / "data" / "secret.key").read_text()
    assert len(key) >= 32
    assert (target.folder / "data" / "secret.key").stat().st_mode & 0o077 == 0
    assert key not in target.log()
