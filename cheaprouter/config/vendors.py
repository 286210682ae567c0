"""What vendors say of their hosted APIs: other addresses of the same API, what is free of charge, and where that stands.

Read anew for each on the day named; what a vendor changes since shows in its answers, which count more than this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

CHECKED: Final = "2026-11-28"
"""The day on which this table, and the addresses in `kinds`, were compared with the vendors' pages."""


class Vendor(NamedTuple):
    """A row of the table.

    `source`: the page. `free`: what costs nothing, in words; "": nothing does. `hosts`: where else the same API is, with a
    dot before what only ends a host's name. `priced`: where prices are from.
    """

    source: str
    free: str = ""
    hosts: tuple[str, ...] = ()
    priced: str = "the catalogue"


_LISTED: Final = "its own list, the catalogue"

VENDORS: Final[Mapping[str, Vendor]] = {
    "openai": Vendor(
        "https://developers.openai.com/api/docs/pricing", hosts=("us.api.openai.com", "eu.api.openai.com")
    ),
    "anthropic": Vendor("https://platform.claude.com/docs/en/about-claude/pricing"),
    "gemini": Vendor(
        "https://ai.google.dev/gemini-api/docs/openai", "some models, with limits that only AI Studio tells"
    ),
    "openrouter": Vendor(
        "https://openrouter.ai/docs/guides/routing/model-variants/free",
        "models that end in `:free`: 20 requests a minute, 50 a day, or 1,000 once 10 USD of credit were bought",
        priced=_LISTED,
    ),
    "groq": Vendor(
        "https://console.groq.com/docs/rate-limits", "30 requests a minute; 250 to 14,400 a day, by the model"
    ),
    "deepseek": Vendor("https://api-docs.deepseek.com"),
    "mistral": Vendor(
        "https://docs.mistral.ai/admin/user-management-finops/tier",
        "the Experiment plan, for trying out: about 1 request a second",
    ),
    "xai": Vendor("https://docs.x.ai/developers/cost-tracking", hosts=("us.api.x.ai",), priced="its bill, the catalogue"),
    "together": Vendor(
        "https://docs.together.ai/docs/inference/openai-compatibility", hosts=("api.together.xyz",), priced=_LISTED
    ),
    "fireworks": Vendor("https://docs.fireworks.ai/tools-sdks/openai-compatibility", hosts=("us.api.fireworks.ai",)),
    "cerebras": Vendor(
        "https://inference-docs.cerebras.ai/support/rate-limits", "about 5 requests a minute, 1 million tokens a day"
    ),
    "nvidia": Vendor(
        "https://build.nvidia.com", "a trial: about 40 requests a minute, more or less by traffic", priced="nobody: no price is published"
    ),
    "moonshot": Vendor("https://platform.kimi.ai/docs/api/overview", hosts=("api.moonshot.cn",)),
    "zai": Vendor(
        "https://docs.z.ai/guides/develop/openai/python", "glm-4.7-flash, glm-4.5-flash", hosts=("open.bigmodel.cn",)
    ),
    "minimax": Vendor("https://platform.minimax.io/docs/api-reference", hosts=("api.minimaxi.com",)),
    "qwen": Vendor(
        "https://www.alibabacloud.com/help/en/model-studio/base-url",
        hosts=(
            "dashscope.aliyuncs.com",
            "dashscope-us.aliyuncs.com",
            "cn-hongkong.dashscope.aliyuncs.com",
            ".maas.aliyuncs.com",
        ),
    ),
    "blockrun": Vendor("https://pypi.org/project/blockrun-litellm", priced="its bill, its own list"),
    "azure": Vendor(
        "https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle",
        hosts=(".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com"),
        priced="nobody: deployments have names of your own",
    ),
}  # fmt: skip


def vendor_at(host: str) -> str:
    """The kind whose API is at a host that is not its usual one; "" for nobody's."""
    for name, vendor in VENDORS.items():
        for known in vendor.hosts:
            if host == known or (known.startswith(".") and host.endswith(known)):
                return name
    return ""
