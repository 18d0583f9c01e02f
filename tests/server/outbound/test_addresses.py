"""The address rule and the forms of URLs, as tables."""

import pytest

from server.outbound.addresses import AddressError, check_url, is_allowed

NEVER = """
0.0.0.0 0.1.2.3 169.254.0.1 169.254.169.254 192.0.0.1 192.0.0.9 192.0.0.10 192.0.0.170 192.0.2.1
192.31.196.1 192.52.193.1 192.88.99.1 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.7
203.0.113.9 224.0.0.1 233.252.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::7f00:1 ::8.8.8.8 ::ffff:0.0.0.0 ::ffff:169.254.169.254 ::ffff:224.0.0.1
64:ff9b::a9fe:a9fe 64:ff9b:1::1 64:ff9b:1::808:808 100::1 100:0:0:1::1 2001::1 2001:1::1 2001:2::1
2001:3::1 2001:10::1 2001:20::1 2001:30::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 2002:a00:1::
2620:4f:8000::1 3fff::1 5f00::1 fe80::1 fe80::1%1 febf::1 fec0::1 ff02::1 ff0e::1
127.1 0x7f000001 2130706433 0177.0.0.1 localhost 1.2.3 1.2.3.4.5
"""
PRIVATE = """
10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.8.8.8 172.16.0.1 172.31.255.255
192.168.0.1 192.168.255.255 ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:c0a8:1 64:ff9b::7f00:1
64:ff9b::10.1.2.3 fc00::1 fd12:3456::1
"""
PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1
172.15.255.255 172.32.0.1 192.0.1.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1
223.255.255.255 ::ffff:8.8.8.8 64:ff9b::808:808 2001:4860:4860::8888 2606:4700::1111 2a00:1450::1
"""
MALFORMED = ["", " 8.8.8.8", "１２７.0.0.1"]


@pytest.mark.parametrize("address", [*NEVER.split(), *MALFORMED])
def test_f90_special_addresses_are_never_allowed(address):
    assert not is_allowed(address, allow_private=False)
    assert not is_allowed(address, allow_private=True)


@pytest.mark.parametrize("address", PRIVATE.split())
def test_f90_private_addresses_are_allowed_by_option_only(address):
    assert not is_allowed(address, allow_private=False)
    assert is_allowed(address, allow_private=True)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses_are_allowed(address):
    assert is_allowed(address, allow_private=False)


REFUSED_URLS = [
    "http://vendor.example/a.pdf",
    "ftp://vendor.example/a.pdf",
    "file:///etc/passwd",
    "//vendor.example/a.pdf",
    "vendor.example/a.pdf",
    "",
    "https://",
    "https:///a.pdf",
    "https://user@vendor.example/",
    "https://user:secret@vendor.example/",
    "https://@vendor.example/",
    "https://vendor.example\\@127.0.0.1/",
    "https:\\\\127.0.0.1\\a.pdf",
    "https://vendor.example/a b.pdf",
    "https://ven\tdor.example/",
    "https://vendor.example/\r\nHost: x",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://2130706433/",
    "https://127.1/",
    "https://127.0.0.1./",
    "https://0177.0.0.1/",
    "https://１２７.0.0.1/",
    "https://127。0。0。1/",
    "https://vendor.example:8443/",
    "https://vendor.example:22/",
    "https://vendor.example:99999/",
    "https://vendor.example:x/",
    "https://[::1/",
    "https://[fe80::1%25eth0]/",
    "https://[127.0.0.1]/",
    "https://[v1.x]/",
    "https://-vendor.example/",
    "https://vendor..example/",
    "https://" + "a" * 64 + ".example/",
    "https://vendor.example/" + "a" * 5000,
]


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_f90_odd_forms_are_refused(url):
    with pytest.raises(AddressError):
        check_url(url, allow_http=False, allow_private=False)


def test_usual_urls_pass():
    target = check_url(
        "https://Docs.Vendor.example/a.pdf?v=1", allow_http=False, allow_private=False
    )
    assert (target.host, target.port, target.scheme) == ("docs.vendor.example", 443, "https")
    assert check_url("http://a.example:80/", allow_http=True, allow_private=False).port == 80
    assert check_url("https://a.example:8443/", allow_http=False, allow_private=True).port == 8443
    assert check_url("https://[2606:4700::1111]/", allow_http=False, allow_private=False).host
