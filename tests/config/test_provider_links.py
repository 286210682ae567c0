"""How a provider is reached: a file of certificates, whether they are checked, a proxy."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from cheaprouter.config import loader, schema
from cheaprouter.core.errors import ConfigurationError
from cheaprouter.providers.adapters import adapter_for
from cheaprouter.providers.endpoint import DIRECT, Link
from tests.fakes.certificates import certificate


def provider(**keys):
    raw = {"providers": {"lab": {"kind": "openai", "base_url": "https://10.0.0.5:5000/v1", **keys}}}
    return schema.build(raw)


def complaint(**keys):
    with pytest.raises(ConfigurationError) as caught:
        provider(**keys)
    return str(caught.value)


def test_what_is_not_set_is_the_systems_certificates_checked_and_no_proxy():
    assert adapter_for(provider().providers[0]).link == DIRECT


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the certificate is made with openssl")
def test_what_is_set_is_how_every_request_goes_out(tmp_path):
    made = asyncio.run(certificate(tmp_path))
    keys = {"ca_file": made.ca_file, "verify_tls": False, "proxy": "http://u:p@10.0.0.1:3128/", "api_key": "k"}
    adapter = adapter_for(provider(**keys).providers[0])
    link = Link(made.ca_file, verify_tls=False, proxy="http://u:p@10.0.0.1:3128")
    assert adapter.link == link
    assert adapter.models_request("k").endpoint.origin.link == link


@pytest.mark.parametrize("content", [None, "", "no certificate"], ids=["not there", "empty", "something else"])
def test_a_file_that_holds_no_certificate_is_named_with_its_key(tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    said = complaint(ca_file=str(path))
    assert "providers.lab.ca_file" in said
    assert "a file of certificates (PEM) that can be read" in said


def test_a_folder_is_no_file_of_certificates(tmp_path):
    assert "providers.lab.ca_file" in complaint(ca_file=str(tmp_path))


@pytest.mark.parametrize(
    "proxy",
    [
        "https://10.0.0.1:1",
        "socks5://10.0.0.1:1",
        "u:hushhush@10.0.0.1:1",
        "http://u:hushhush@/",
        "http://h:x",
        "http://h/path?q",
        7,
    ],
)
def test_a_proxy_that_is_none_is_named_with_its_key_and_no_login_is_repeated(proxy):
    said = complaint(proxy=proxy)
    assert "providers.lab.proxy" in said
    assert "hushhush" not in said


def test_a_proxys_password_is_a_secret_however_it_is_written():
    settings = provider(proxy="http://home:p%40ssword@10.0.0.1:3128")
    assert {"p%40ssword", "p@ssword"} <= loader.secrets(settings)


def test_verify_tls_is_true_or_false():
    assert "providers.lab.verify_tls" in complaint(verify_tls="maybe")
