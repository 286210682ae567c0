"""What vendors really answer, and what it means: status, the error as they shape it, the meaning, and what else is to be learned."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from cheaprouter.providers.failures import Meaning, Reach


class Seen(NamedTuple):
    """One vendor's error. `also`: further fields of the failure that must be so."""

    vendor: str
    status: int
    error: dict[str, Any]
    meaning: Meaning
    also: Mapping[str, Any] = MappingProxyType({})


def _openai(message: str, code: str | None = None, kind: str = "invalid_request_error", **more: Any) -> dict[str, Any]:
    return {"message": message, "type": kind, "param": None, "code": code, **more}


M = Meaning
DAY = {"cooldown": 900.0}
KEYS: Final = {"reach": Reach.KEY}

SEEN: Final = (
    # --- rate limits
    Seen("OpenAI", 429, _openai("Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29937, Requested 385. Please try again in 644ms. Visit https://platform.openai.com/account/rate-limits to learn more.", "rate_limit_exceeded", "tokens"), M.RATE_LIMIT, {"retry_after": 0.644, "reach": Reach.MODEL}),
    Seen("Groq", 429, _openai("Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_0` service tier `on_demand` on tokens per day (TPD): Limit 100000, Used 97050, Requested 3619. Please try again in 9m38.016s. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing", "rate_limit_exceeded", "tokens"), M.RATE_LIMIT, {"retry_after": 578.016, "reach": Reach.MODEL}),
    Seen("Google, a minute", 429, {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]}, M.RATE_LIMIT, {"retry_after": 34.0}),
    Seen("Google, without a time", 429, {"code": 429, "message": "Resource has been exhausted (e.g. check quota).", "status": "RESOURCE_EXHAUSTED"}, M.RATE_LIMIT),
    Seen("Azure", 429, _openai("Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded call rate limit of your current OpenAI S0 pricing tier. Please retry after 26 seconds.", "429"), M.RATE_LIMIT, {"retry_after": 26.0}),
    Seen("Anthropic", 429, {"type": "rate_limit_error", "message": "This request would exceed your account's rate limit. Please try again later."}, M.RATE_LIMIT, KEYS),
    Seen("OpenRouter, free models", 429, {"message": "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day", "code": 429}, M.RATE_LIMIT, {"reach": Reach.TIER, **DAY}),
    Seen("OpenRouter, upstream", 429, {"message": "Provider returned error", "code": 429, "metadata": {"raw": "deepseek/deepseek-r1:free is temporarily rate-limited upstream. Please retry shortly.", "provider_name": "Chutes"}}, M.RATE_LIMIT),
    Seen("xAI", 429, {"code": "Some resource has been exhausted", "error": "Too many tokens for team x and model grok-4-0709. Your team's rate limit is: Tokens per Minute (actual/limit): 65605/16000."}, M.RATE_LIMIT),
    Seen("Mistral", 429, {"object": "error", "message": "Requests rate limit exceeded", "type": "rate_limited", "code": "1300"}, M.RATE_LIMIT, KEYS),
    Seen("Cohere", 429, {"message": "You are using a Trial key, which is limited to 10 API calls / minute. You can continue to use the Trial key for free or upgrade to a Production key"}, M.RATE_LIMIT, KEYS),
    Seen("Moonshot", 429, _openai("Your account x<y> request reached max organization RPM: 3, please try again after 1 seconds", None, "rate_limit_reached_error"), M.RATE_LIMIT, {"retry_after": 1.0, **KEYS}),
    Seen("GitHub", 429, _openai("Rate limit of 50 per 86400s exceeded for UserByModelByDay. Please wait 30000 seconds before retrying.", "RateLimitReached"), M.RATE_LIMIT, {"retry_after": 30000.0}),
    Seen("Cerebras", 429, {"message": "Tokens per day limit exceeded - too many tokens processed.", "type": "too_many_tokens_error", "code": "token_quota_exceeded"}, M.RATE_LIMIT, DAY),
    Seen("DashScope", 429, _openai("Request rate increased too quickly. To ensure system stability, please adjust your client logic", "limit_burst_rate"), M.RATE_LIMIT),
    Seen("DashScope", 429, _openai("Allocated quota exceeded, please increase your quota limit.", "insufficient_quota"), M.RATE_LIMIT),
    Seen("Z.ai", 429, {"code": "1302", "message": "High concurrency usage of this API, please reduce concurrency or contact customer service"}, M.RATE_LIMIT),
    Seen("MiniMax", 200, {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, M.RATE_LIMIT),
    Seen("Cloudflare in front", 429, {"message": "error code: 1015"}, M.RATE_LIMIT),
    Seen("vLLM, inside a 200", 200, {"object": "error", "message": "Rate limit reached, slow down", "type": "RateLimitError", "param": None, "code": 429}, M.RATE_LIMIT),
    Seen("AWS", 400, {"code": "ThrottlingException", "message": "Too many requests, please wait before trying again."}, M.RATE_LIMIT),
    # --- more than a limit lets through at once
    Seen("Groq", 413, _openai("Request too large for model `llama-3.1-8b-instant` in organization `org_x` service tier `on_demand` on tokens per minute (TPM): Limit 6000, Requested 9120, please reduce your message size and try again.", "rate_limit_exceeded", "tokens"), M.TOO_LARGE, {"status": 413}),
    Seen("OpenAI", 429, _openai("Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 35000. The input or output tokens must be reduced in order to run successfully.", "rate_limit_exceeded", "tokens"), M.TOO_LARGE, {"status": 413}),
    # --- no money
    Seen("OpenAI", 429, _openai("You exceeded your current quota, please check your plan and billing details.", "insufficient_quota", "insufficient_quota"), M.QUOTA, {"reach": Reach.TIER}),
    Seen("OpenAI", 429, _openai("Your account is not active, please check your billing details on our website.", "billing_not_active"), M.QUOTA),
    Seen("Anthropic", 400, {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}, M.QUOTA),
    Seen("DeepSeek", 402, _openai("Insufficient Balance", "invalid_request_error", "unknown_error"), M.QUOTA),
    Seen("DeepSeek", 400, _openai("Insufficient Balance", "invalid_request_error", "unknown_error"), M.QUOTA),
    Seen("OpenRouter", 402, {"message": "Insufficient credits. Add more using https://openrouter.ai/settings/credits", "code": 402}, M.QUOTA),
    Seen("xAI", 429, {"code": "Some resource has been exhausted", "error": "Your team x has either used all available credits or reached its monthly spending limit. To continue making API requests, please purchase more credits or raise your spending limit."}, M.QUOTA),
    Seen("Z.ai", 429, {"code": "1113", "message": "Your account is in arrears, please recharge and try again"}, M.QUOTA),
    Seen("DashScope", 400, _openai("Access denied, please make sure your account is in good standing.", "Arrearage"), M.QUOTA),
    Seen("DashScope, one model", 403, _openai("The free tier of the model has been exhausted. If you wish to continue access the model on a paid basis, please disable the use free tier only mode", "AllocationQuota.FreeTierOnly"), M.QUOTA, {"reach": Reach.MODEL}),
    Seen("Moonshot", 429, _openai("Your account org-x is suspended, please check your plan and billing details", None, "exceeded_current_quota_error"), M.QUOTA),
    Seen("SiliconFlow", 403, {"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None}, M.QUOTA),
    Seen("Hugging Face", 402, {"message": "You have exceeded your monthly included credits for Inference Providers."}, M.QUOTA),
    Seen("MiniMax", 200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, M.QUOTA),
    Seen("OpenRouter", 402, {"message": "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford 2211. To increase, visit https://openrouter.ai/settings/credits", "code": 402}, M.UNAFFORDABLE, {"reach": Reach.MODEL}),
    # --- too long
    Seen("OpenAI", 400, _openai("This model's maximum context length is 8192 tokens. However, your messages resulted in 8545 tokens. Please reduce the length of the messages.", "context_length_exceeded"), M.CONTEXT),
    Seen("OpenAI", 400, _openai("Your input exceeds the context window of this model. Please adjust your input and try again."), M.CONTEXT),
    Seen("Google", 400, {"code": 400, "message": "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).", "status": "INVALID_ARGUMENT"}, M.CONTEXT),
    Seen("xAI", 400, {"code": "Client specified an invalid argument", "error": "This model's maximum prompt length is 131072 but the request contains 537812 tokens."}, M.CONTEXT),
    Seen("Anthropic", 400, {"type": "invalid_request_error", "message": "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again"}, M.CONTEXT),
    Seen("Anthropic", 413, {"type": "request_too_large", "message": "Request exceeds the maximum allowed number of bytes."}, M.CONTEXT),
    Seen("Ollama", 500, _openai("the input length exceeds the context length"), M.CONTEXT),
    Seen("TGI", 422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 500 `max_new_tokens`", "error_type": "validation"}, M.CONTEXT),
    Seen("Z.ai", 400, {"code": "1261", "message": "Prompt exceeds max length"}, M.CONTEXT),
    Seen("Cloudflare", 400, {"message": "The estimated number of input and maximum output tokens (9000) exceeded this model context window limit (8192)."}, M.CONTEXT),
    Seen("DashScope", 400, _openai("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 98304]", "invalid_parameter_error"), M.CONTEXT),
    Seen("Atlas", 400, _openai("Prompt too long: 5152 tokens exceeds max_seq_len 2048 (leave room for output tokens)"), M.CONTEXT),
    # --- models
    Seen("OpenAI", 404, _openai("The model `gpt-9` does not exist or you do not have access to it.", "model_not_found"), M.NO_MODEL),
    Seen("OpenAI", 400, _openai("The requested model 'gpt-4-1106-preview' does not exist.", "model_not_found", param="model"), M.NO_MODEL),
    Seen("OpenAI", 404, _openai("Your organization must be verified to use the model `o3`. Please go to: https://platform.openai.com/settings", "model_not_found"), M.NO_MODEL),
    Seen("DeepSeek", 400, _openai("Model Not Exist", "invalid_request_error"), M.NO_MODEL),
    Seen("OpenRouter", 400, {"message": "foo/bar is not a valid model ID", "code": 400}, M.NO_MODEL),
    Seen("OpenRouter", 404, {"message": "No endpoints found for foo/bar:free.", "code": 404}, M.NO_MODEL),
    Seen("Groq", 400, _openai("The model `mixtral-8x7b-32768` has been decommissioned and is no longer supported.", "model_decommissioned"), M.NO_MODEL),
    Seen("Mistral", 400, {"object": "error", "message": "Invalid model: mistral-huge", "type": "invalid_model", "code": "1500"}, M.NO_MODEL),
    Seen("AWS", 400, {"message": "The provided model identifier is invalid."}, M.NO_MODEL),
    Seen("Google", 404, {"code": 404, "message": "models/gemini-0 is not found for API version v1main, or is not supported for generateContent.", "status": "NOT_FOUND"}, M.NO_MODEL),
    Seen("OpenAI", 403, _openai("Project `proj_x` does not have access to model `gpt-5`", "model_not_found"), M.MODEL_DENIED),
    # --- what a model lacks
    Seen("Ollama", 400, _openai("registry.ollama.ai/library/gemma2:9b does not support tools", None, "api_error"), M.CAPABILITY, {"capability": "tools", "cooldown": None}),
    Seen("OpenRouter", 404, {"message": 'No endpoints found that support tool use. Try disabling "turn_on". To learn more about provider routing, visit: https://openrouter.ai/docs', "code": 404}, M.CAPABILITY, {"capability": "tools", "cooldown": None}),
    Seen("vLLM", 400, {"object": "error", "message": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', "type": "BadRequestError", "param": None, "code": 400}, M.CAPABILITY, {"capability": "tools"}),
    Seen("llama.cpp", 500, {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}, M.CAPABILITY, {"capability": "tools", "status": 400}),
    Seen("Google", 400, {"code": 400, "message": "Function calling is not enabled for models/gemma-3-27b-it", "status": "INVALID_ARGUMENT"}, M.CAPABILITY, {"capability": "tools"}),
    Seen("OpenAI", 400, _openai("Unsupported parameter: 'tools' is not supported with this model.", "unsupported_parameter", param="tools"), M.CAPABILITY, {"capability": "tools"}),
    Seen("OpenRouter", 404, {"message": "No endpoints found that support image input", "code": 404}, M.CAPABILITY, {"capability": "vision"}),
    Seen("OpenAI", 400, _openai("Invalid content type. image_url is only supported by certain models."), M.CAPABILITY, {"capability": "vision"}),
    Seen("vLLM", 400, {"object": "error", "message": "/models/x is not a multimodal model", "type": "BadRequestError", "code": 400}, M.CAPABILITY, {"capability": "vision"}),
    Seen("llama.cpp", 500, {"code": 500, "message": "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", "type": "server_error"}, M.CAPABILITY, {"capability": "vision"}),
    Seen("DeepSeek", 400, _openai("Failed to deserialize the JSON body into the target type: messages[0]: unknown variant `image_url`, expected `text` at line 1 column 70"), M.CAPABILITY, {"capability": "vision"}),
    Seen("OpenRouter", 404, {"message": "No endpoints found that support input audio", "code": 404}, M.CAPABILITY, {"capability": "audio"}),
    Seen("Groq", 400, _openai("This model does not support response format `json_schema`. See supported models at https://console.groq.com/docs/structured-outputs", param="response_format"), M.CAPABILITY, {"capability": "json_schema"}),
    # --- filters
    Seen("Azure", 400, {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "type": None, "param": "prompt", "code": "content_filter", "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}, M.FILTER),
    Seen("DashScope", 400, _openai("Input data may contain inappropriate content.", "data_inspection_failed", "data_inspection_failed"), M.FILTER),
    Seen("DeepSeek", 400, _openai("Content Exists Risk", "invalid_request_error"), M.FILTER),
    Seen("Z.ai", 400, {"code": "1301", "message": "System detected potentially unsafe or sensitive content in input or generation."}, M.FILTER),
    Seen("Zhipu", 400, {"message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}, M.FILTER),
    Seen("OpenRouter", 403, {"code": 403, "message": 'openai/gpt-4o requires moderation on OpenAI. Your input was flagged for "violence". No credits were charged.', "metadata": {"reasons": ["violence"], "flagged_input": "x"}}, M.FILTER),
    Seen("OpenAI", 400, _openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a different prompt", "invalid_prompt"), M.FILTER),
    Seen("Moonshot", 400, _openai("The request was rejected because it was considered high risk", None, "content_filter"), M.FILTER),
    Seen("xAI", 403, {"code": "The caller does not have permission to execute the specified operation", "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}, M.FILTER),
    Seen("Anthropic", 400, {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}, M.FILTER),
    Seen("MiniMax", 200, {"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}, M.FILTER),
    # --- the model's slip
    Seen("Groq", 400, _openai("Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.", "tool_use_failed", failed_generation="<function=turn_on>"), M.SLIP),
    Seen("Groq", 400, _openai("Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details.", "json_validate_failed"), M.SLIP),
    Seen("Ollama", 500, _openai("error parsing tool call: raw='{\"a\": ', err=unexpected end of JSON input", None, "api_error"), M.SLIP),
    # --- how it may be asked
    Seen("OpenAI", 400, _openai("Your organization must be verified to stream this model. Please go to: https://platform.openai.com/settings/organization/general and click on Verify Organization.", "unsupported_value", param="stream"), M.MODE, {"mode": "whole"}),
    Seen("DashScope", 400, _openai("This model only support stream mode, please enable the stream parameter to access the model.", "invalid_parameter_error"), M.MODE, {"mode": "stream"}),
    # --- keys
    Seen("OpenAI", 401, _openai("Incorrect API key provided: sk-abc. You can find your API key at https://platform.openai.com/account/api-keys.", "invalid_api_key"), M.KEY),
    Seen("Google", 400, {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}, M.KEY),
    Seen("Anthropic", 401, {"type": "authentication_error", "message": "invalid x-api-key"}, M.KEY),
    Seen("OpenRouter", 401, {"message": "No auth credentials found", "code": 401}, M.KEY),
    Seen("xAI", 400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xx***. You can obtain an API key from https://console.x.ai."}, M.KEY),
    Seen("MiniMax", 200, {"base_resp": {"status_code": 1004, "status_msg": "login fail: Please carry the API secret key in the Authorization field"}}, M.KEY),
    Seen("OpenAI", 403, _openai("Country, region, or territory not supported", "unsupported_country_region_territory", "request_forbidden"), M.FORBIDDEN),
    # --- the server
    Seen("Anthropic", 529, {"type": "overloaded_error", "message": "Overloaded"}, M.OVERLOAD),
    Seen("Google", 503, {"code": 503, "message": "The model is overloaded. Please try again later.", "status": "UNAVAILABLE"}, M.OVERLOAD),
    Seen("Moonshot", 429, _openai("The engine is currently overloaded, please try again later", None, "engine_overloaded_error"), M.OVERLOAD),
    Seen("Mistral", 429, {"object": "error", "message": "Service tier capacity exceeded for this model.", "type": "service_tier_capacity_exceeded", "code": "3505"}, M.OVERLOAD),
    Seen("llama.cpp", 503, {"code": 503, "message": "Loading model", "type": "unavailable_error"}, M.OVERLOAD),
    Seen("OpenAI", 500, _openai("The server had an error while processing your request. Sorry about that!", None, "server_error"), M.SERVER),
    Seen("a gateway", 500, {"message": "boom", "code": 500}, M.SERVER),
)  # fmt: skip

FALSE_ALARMS: Final = (
    Seen("a tool's name", 400, _openai("Invalid schema for function 'comment_moderation': schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'.", "invalid_function_parameters"), M.REQUEST),
    Seen("a tool that reads a balance", 400, _openai("Invalid value for 'tools[0].function.name': 'get_credit_balance.v2' does not match pattern.", "invalid_value"), M.REQUEST),
    Seen("a link to billing", 404, _openai("Not found. See https://example.com/docs/insufficient-balance?x=credit-balance-is-too-low"), M.NO_MODEL),
    Seen("a link to billing in a 400", 400, _openai("Invalid JSON. See https://example.com/billing/insufficient_quota"), M.REQUEST),
    Seen("a limit on the answer", 400, _openai("max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided 100000.", "invalid_value", param="max_tokens"), M.PARAMETER),
    Seen("a bad range", 400, _openai("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", "invalid_request_error"), M.PARAMETER),
    Seen("too many messages", 400, _openai("Invalid 'messages': array too long. Expected an array with maximum length 2048, but got 3000."), M.REQUEST),
    Seen("a long tool name", 400, _openai("Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 64, but got 80.", "string_above_max_length"), M.REQUEST),
    Seen("an image too large", 400, {"type": "invalid_request_error", "message": "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes"}, M.REQUEST),
    Seen("an unknown tool", 400, _openai("Tool 'model_lamp' not in request"), M.REQUEST),
    Seen("a temperature", 400, _openai("Invalid 'temperature': expected a number between 0 and 2.", param="temperature"), M.REQUEST),
    Seen("a stop sequence", 400, _openai("stop: too many sequences"), M.REQUEST),
    Seen("a message that speaks of rates", 400, _openai("Invalid type for 'messages[0].content': expected a string, got 'heart rate limits'"), M.REQUEST),
    Seen("an overloaded word", 400, _openai("Function overloading is not supported in schemas"), M.REQUEST),
    Seen("moderation in a model's name", 404, _openai("The model `omni-moderation-latest` does not exist"), M.NO_MODEL),
    Seen("safety in a 400", 400, _openai("Unknown safety category HARM_X"), M.REQUEST),
    Seen("a time-out", 408, _openai("Request timed out after 30 s"), M.SERVER),
)  # fmt: skip
"""What sounds like something else, and is not."""
