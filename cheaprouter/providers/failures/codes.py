"""Vendors' codes and types: facts, which go before any words. Those of one vendor mean the same wherever they are seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from .verdict import Meaning

CODES: Final[Mapping[str, Meaning]] = {
    # OpenAI, Azure, Groq, Cerebras and what copies them
    "context_length_exceeded": Meaning.CONTEXT,
    "rate_limit_exceeded": Meaning.RATE_LIMIT,
    "too_many_requests": Meaning.RATE_LIMIT,
    "toomanyrequests": Meaning.RATE_LIMIT,
    "ratelimitreached": Meaning.RATE_LIMIT,
    "ratelimiterror": Meaning.RATE_LIMIT,
    "insufficient_quota": Meaning.QUOTA,
    "billing_hard_limit_reached": Meaning.QUOTA,
    "billing_not_active": Meaning.QUOTA,
    "content_filter": Meaning.FILTER,
    "content_policy_violation": Meaning.FILTER,
    "moderation_blocked": Meaning.FILTER,
    "responsibleaipolicyviolation": Meaning.FILTER,
    "invalid_api_key": Meaning.KEY,
    "model_not_found": Meaning.NO_MODEL,
    "deploymentnotfound": Meaning.NO_MODEL,
    "model_decommissioned": Meaning.NO_MODEL,
    "tool_use_failed": Meaning.SLIP,
    "json_validate_failed": Meaning.SLIP,
    "output_parse_failed": Meaning.SLIP,
    "malformed_function_call": Meaning.SLIP,
    # llama.cpp, GitHub, Mistral, UCloud
    "exceed_context_size_error": Meaning.CONTEXT,
    "model_max_prompt_tokens_exceeded": Meaning.CONTEXT,
    "tokens_too_long": Meaning.CONTEXT,
    "tokens_limit_reached": Meaning.CONTEXT,
    "invalid_model": Meaning.NO_MODEL,
    "model_not_supported": Meaning.NO_MODEL,
    "unsupported_model": Meaning.NO_MODEL,
    "service_tier_capacity_exceeded": Meaning.OVERLOAD,
    # Anthropic
    "overloaded_error": Meaning.OVERLOAD,
    "billing_error": Meaning.QUOTA,
    # Google
    "resource_exhausted": Meaning.RATE_LIMIT,
    "api_key_invalid": Meaning.KEY,
    # Moonshot
    "exceeded_current_quota_error": Meaning.QUOTA,
    "rate_limit_reached_error": Meaning.RATE_LIMIT,
    "engine_overloaded_error": Meaning.OVERLOAD,
    "invalid_authentication_error": Meaning.KEY,
    # Alibaba's DashScope
    "data_inspection_failed": Meaning.FILTER,
    "datainspectionfailed": Meaning.FILTER,
    "arrearage": Meaning.QUOTA,
    "throttling": Meaning.RATE_LIMIT,
    "throttling.ratequota": Meaning.RATE_LIMIT,
    "throttling.burstrate": Meaning.RATE_LIMIT,
    "throttling.allocationquota": Meaning.RATE_LIMIT,
    "limit_requests": Meaning.RATE_LIMIT,
    "limit_burst_rate": Meaning.RATE_LIMIT,
    "model.accessdenied": Meaning.MODEL_DENIED,
    # Z.ai and Zhipu: numbers in strings
    "1113": Meaning.QUOTA,
    "1211": Meaning.NO_MODEL,
    "1261": Meaning.CONTEXT,
    "1301": Meaning.FILTER,
    "1302": Meaning.RATE_LIMIT,
    "1303": Meaning.RATE_LIMIT,
    "1305": Meaning.OVERLOAD,
    # MiniMax, in a reply of status 200
    "minimax 1002": Meaning.RATE_LIMIT,
    "minimax 1004": Meaning.KEY,
    "minimax 1008": Meaning.QUOTA,
    "minimax 1026": Meaning.FILTER,
    "minimax 1027": Meaning.FILTER,
    "minimax 1039": Meaning.CONTEXT,
    "minimax 2049": Meaning.KEY,
    # resellers
    "insufficient_user_quota": Meaning.QUOTA,
    "insufficient_balance": Meaning.QUOTA,
    "insufficient_credits": Meaning.QUOTA,
    "insufficient_funds": Meaning.QUOTA,
    "payment_required": Meaning.QUOTA,
    "sensitive_words_detected": Meaning.FILTER,
    "throttlingexception": Meaning.RATE_LIMIT,
}

STATUSES: Final[Mapping[Meaning, Collection[int]]] = {
    Meaning.RATE_LIMIT: (400, 403, 413, 429, 500, 503),
    Meaning.TOO_LARGE: (400, 413, 429),
    Meaning.QUOTA: (400, 401, 402, 403, 429),
    Meaning.UNAFFORDABLE: (400, 402, 403),
    Meaning.CONTEXT: (400, 404, 413, 422, 500, 502, 503),
    Meaning.NO_MODEL: (400, 403, 404, 410, 422),
    Meaning.MODEL_DENIED: (401, 403),
    Meaning.CAPABILITY: (400, 404, 405, 422, 500, 501),
    Meaning.FILTER: (400, 403, 422, 451, 500, 502, 503),
    Meaning.SLIP: (400, 422, 500),
    Meaning.MODE: (400, 403, 404, 422),
    Meaning.KEY: (400, 401, 403),
    Meaning.FORBIDDEN: (400, 403, 451),
    Meaning.WALL: (403, 503),
    Meaning.OVERLOAD: (400, 429, 498, 500, 502, 503, 529),
}
"""Under which statuses codes and words of that meaning are believed. A 404 that mentions billing is no empty account."""

KINDS: Final[Mapping[str, int]] = {
    "rate_limit": 429, "insufficient_quota": 429, "overloaded": 529, "authentication": 401, "permission": 403,
    "not_found": 404, "invalid_request": 400, "context_length": 400, "content_filter": 400, "timeout": 408,
}  # fmt: skip
"""What a code or type holds: the status it stands for, where a reply of status 200 names none."""
