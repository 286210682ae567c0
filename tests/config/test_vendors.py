from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from cheaprouter.config.kinds import CLOUD, KINDS, kind_of
from cheaprouter.config.settings import ProviderSettings
from cheaprouter.config.vendors import CHECKED, VENDORS


def at(url: str) -> str:
    return kind_of(ProviderSettings("lab", "openai", url)).name


def test_every_hosted_preset_says_where_it_was_checked_and_when():
    assert set(VENDORS) == set(CLOUD)
    assert CHECKED >= "2026-11-28"
    assert all(urlsplit(vendor.source).scheme == "https" for vendor in VENDORS.values())


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.together.xyz/v1", "together"),
        ("https://us.api.x.ai/v1", "xai"),
        ("https://my-workspace.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1", "qwen"),
        ("https://dashscope-us.aliyuncs.com/compatible-mode/v1", "qwen"),
        ("https://home.openai.azure.com/openai/v1", "azure"),
        ("https://home.services.ai.azure.com/openai/v1", "azure"),
        ("https://evil-openai.azure.com.example/v1", "openai"),
        ("https://maas.aliyuncs.com.example/v1", "openai"),
        ("http://192.168.1.20:8000/v1", "openai"),
    ],
)
def test_an_address_tells_whose_it_is(url, kind):
    assert at(url) == kind


def test_no_host_is_two_vendors():
    hosts = [host for vendor in VENDORS.values() for host in vendor.hosts]
    usual = [urlsplit(KINDS[name].base_url).hostname for name in CLOUD]
    assert len({*hosts, *usual}) == len(hosts) + len(usual)
