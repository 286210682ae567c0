"""What vendors refuse, in their words: names come from anywhere, but only what was sent and is not essential is left out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheaprouter.core.models import Capability, Model
from cheaprouter.providers import unsupported
from cheaprouter.providers.complaints import ESSENTIAL, PARTS, ROLE, adaptation
from cheaprouter.providers.unsupported import Learned

TOOL = {"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}
SENT: dict[str, Any] = {
    "model": "m", "messages": [{"role": "user", "content": "x", "name": "bob"}], "tools": [TOOL], "tool_choice": "auto",
    "response_format": {"type": "text"}, "max_tokens": 5, "stream": True, "stream_options": {"include_usage": True},
    "temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "seed": 1, "stop": ["x"], "user": "u",
    "store": True, "metadata": {"a": "b"}, "n": 1, "logit_bias": {"1": 1}, "reasoning_effort": "low", "verbosity": "low",
    "typical_p": 1, "repeat_penalty": 1, "reasoning": {"effort": "low", "summary": "auto"}, "think": True,
    "parallel_tool_calls": True, "transforms": [], "enable_thinking": True, "chat_template_kwargs": {},
}  # fmt: skip


def learned(message: str, status: int = 400, sent: Any = SENT, **error: Any) -> set[str]:
    """The names that are left out or renamed."""
    error = {"message": message, **error}
    return set(adaptation(status, error, message, {"error": error}, sent))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        # xAI
        ("Argument not supported on this model: presencePenalty", {"presence_penalty"}),
        ("Model grok-4.3 does not support parameter frequencyPenalty.", {"frequency_penalty"}),
        ("Model grok-4 does not support parameter stop.", {"stop"}),
        # OpenAI, old and new
        ("Unrecognized request argument supplied: seed", {"seed"}),
        ("Unrecognized request arguments supplied: repeat_penalty, typical_p", {"repeat_penalty", "typical_p"}),
        ("Unknown parameter: 'store'.", {"store"}),
        ("Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.", {"temperature"}),
        ("Unsupported value: 'verbosity' does not support 'low' with this model. Supported values are: 'medium'.", {"verbosity"}),
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", {"max_tokens"}),
        # NVIDIA, vLLM, Fireworks, Anthropic, FastAPI
        ("body -> frequency_penalty\n  Extra inputs are not permitted (type=extra_forbidden)\nbody -> n\n  Extra inputs are not permitted (type=extra_forbidden)", {"frequency_penalty", "n"}),
        ("body -> seed, logit_bias: Extra inputs are not permitted", {"seed", "logit_bias"}),
        ("[{'type': 'extra_forbidden', 'loc': ('body', 'store'), 'msg': 'Extra inputs are not permitted', 'input': True}]", {"store"}),
        ("Extra inputs are not permitted, field: 'reasoning_effort', value: 'low'", {"reasoning_effort"}),
        ("Extra inputs are not permitted, field: 'messages[0].name', value: None", {"messages.name"}),
        ("think: Extra inputs are not permitted", {"think"}),
        ("tools.0.function.strict: Extra inputs are not permitted", {"tools.function.strict"}),
        ("reasoning.summary: Extra inputs are not permitted", {"reasoning.summary"}),
        # Groq, Cerebras
        ("property 'store' is unsupported, did you mean 'stop'?", {"store"}),
        ("'messages.0' : for 'role:user' the following must be satisfied[('messages.0' : property 'name' is unsupported)]", {"messages.name"}),
        ("reasoning_effort is not supported with this model", {"reasoning_effort"}),
        # Google
        ('Invalid JSON payload received. Unknown name "store": Cannot find field.\nInvalid JSON payload received. Unknown name "metadata": Cannot find field.', {"store", "metadata"}),
        ("Invalid JSON payload received. Unknown name \"strict\" at 'tools[0].function': Cannot find field.", {"tools.function.strict"}),
        # Moonshot, Bedrock, LiteLLM, LM Studio, Go, Rust, jsonschema, Python
        ("invalid temperature: only 1 is allowed for this model", {"temperature"}),
        ("Malformed input request: #: extraneous key [metadata] is not permitted, please reformat your input", {"metadata"}),
        ("UnsupportedParamsError: openai does not support parameters: ['store', 'user'], for model=x", {"store", "user"}),
        ("Unrecognized key(s) in object: 'store', 'seed'", {"store", "seed"}),
        ('json: unknown field "seed"', {"seed"}),
        ("unknown field `seed`, expected one of `model`, `temperature`, `stop` at line 1 column 20", {"seed"}),
        ("Additional properties are not allowed ('store', 'metadata' were unexpected)", {"store", "metadata"}),
        ("create() got an unexpected keyword argument 'verbosity'", {"verbosity"}),
        ("Unsupported parameters: temperature, top_p and stop", {"temperature", "top_p", "stop"}),
        ("The parameters temperature and seed are not supported by this model", {"temperature", "seed"}),
        ("This model doesn't accept logit_bias", {"logit_bias"}),
        ("enableThinking is not available for this model", {"enable_thinking"}),
        ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", {"top_p"}),
        ("stream_options.include_usage is not supported", {"stream_options.include_usage"}),
        ("chat_template_kwargs is not supported for Mistral tokenizers.", {"chat_template_kwargs"}),
        ("tool_choice is not supported", {"tool_choice"}),
        # in words of which nobody has heard
        ("Please remove `seed` and try again.", {"seed"}),
        ("seed should not be set for this model", {"seed"}),
        ("We don't know what to do with repeat_penalty here", {"repeat_penalty"}),
        ("参数 typical_p 不支持", {"typical_p"}),
        ("Der Parameter `store` wird nicht unterstützt", {"store"}),
        ("Le champ 'store' n'est pas pris en charge", {"store"}),
    ],
)  # fmt: skip
def test_refusals_are_understood_in_any_words(words, names):
    assert learned(words) == names


@pytest.mark.parametrize(
    "words",
    [
        "Unsupported parameter: 'tools' is not supported with this model.",
        "'messages' has unsupported content",
        "response_format is not supported",
        "model is not supported",
        "max_completion_tokens is not supported",
        "Invalid 'temperature': expected a number",
        "temperature must be between 0 and 1",
        "The model 'seed' does not exist",
        "Unknown parameter: 'nobody_sent_this'.",
        "Unsupported: messages[0].content",
        "tools.0.function.parameters: Extra inputs are not permitted",
        "messages.0.role is not supported",
        "This user is not allowed here",
        "Your organization is not permitted to do that",
        "Please remove `tools` and try again.",
        "messages must not be sent with model",
        "参数 messages 不支持",
        "unsupported content type",
        "",
    ],
)
def test_what_is_essential_or_was_not_sent_is_never_left_out(words):
    assert learned(words) == set()


def test_a_choice_that_must_be_made_is_as_essential_as_the_tools():
    assert learned("tool_choice is not supported", sent={**SENT, "tool_choice": "required"}) == set()


@pytest.mark.parametrize(
    ("status", "names"), [(401, set()), (429, set()), (503, set()), (500, {"seed"}), (422, {"seed"})]
)
def test_only_some_statuses_are_about_what_was_sent(status, names):
    assert learned("Unknown parameter: 'seed'", status) == names


def test_a_server_in_trouble_is_believed_only_where_the_request_is_at_hand():
    assert learned("Unknown parameter: 'seed'", 500, None) == set()


DEVELOPER = {"messages": [{"role": "developer", "content": "x"}, {"role": "user", "content": "y"}]}
PARTED = {"messages": [{"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}


@pytest.mark.parametrize(
    "words",
    [
        "messages[0].role: unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`",
        "invalid parameter 'messages[0].role': invalid role 'developer', must be one of: system, user",
        "The parameter `messages.role` is not valid: invalid value: `developer`, supported values are: x",
        "chat template rejected the request: Unexpected message role.",
        "Unexpected role 'developer' encountered in messages. Expected one of: system, user, assistant, tool",
        "Failed to deserialize the JSON body into the target type: messages[0].role: unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`",
        "'developer' is not one of ['system', 'assistant', 'user', 'function', 'tool'] - 'messages.0.role'",
        "Unsupported value: 'messages[0].role' does not support 'developer' with this model.",
        "Unexpected message role.",
        "Invalid role: developer",
        "messages[0].role must be one of: system, user, assistant",
        "[{'type': 'literal_error', 'loc': ('body', 'messages', 0, 'role'), 'msg': \"Input should be 'system'\", 'input': 'developer'}]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_developer_is_a_system_where_that_role_is_refused(words, status):
    assert adaptation(status, {}, words, None, DEVELOPER) == {ROLE: "system"}
    assert ROLE not in adaptation(status, {}, words, None, SENT)


@pytest.mark.parametrize(
    "words",
    [
        "invalid type: sequence, expected a string at line 1 column 60",
        "messages[0].content must be a string",
        "'content' field must be a string, got list",
        "messages.0.content: Input should be a valid string; content should be of type string",
    ],
)
def test_texts_in_parts_are_one_text_where_only_that_is_taken(words):
    assert adaptation(400, {}, words, None, PARTED) == {PARTS: "text"}
    assert PARTS not in adaptation(400, {}, words, None, SENT)


def test_learned_shapes_are_applied():
    body = {
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "index": 0}], "refusal": None},
        ],
        "tools": [TOOL],
        "reasoning": {"summary": "auto"},
        "stream_options": {"include_usage": True, "x": 1},
    }
    changes = {
        ROLE: "system", PARTS: "text", "messages.tool_calls.index": None, "messages.refusal": None,
        "tools.function.strict": None, "reasoning.summary": None, "stream_options.x": None, "absent.x": None,
        "messages.content": "required",
    }  # fmt: skip
    before = str(TOOL)
    unsupported.apply(body, changes)
    assert str(TOOL) == before
    assert body == {
        "messages": [
            {"role": "system", "content": "a\nb"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "stream_options": {"include_usage": True},
    }


_WORDS = st.sampled_from([
    "unsupported", "not supported", "parameter:", "unknown field", ", ", " and ", "'", "`", "body -> ", "messages[0].", "tools.0.",
    ".", "[", "]", ": ", "\n", *SENT, *ESSENTIAL, "role", "content", "name", "did you mean",
])  # fmt: skip


@given(st.lists(_WORDS, max_size=12).map(" ".join), st.sampled_from([400, 404, 422, 500]))
def test_whatever_the_words_nothing_essential_is_lost(words, status):
    for sent in (SENT, DEVELOPER, None):
        for name, new in adaptation(status, {"message": words, "param": words}, words, {"detail": words}, sent).items():
            assert new is not None or name not in ESSENTIAL - {"stream"}  # without it, it is asked for whole
            assert sent is None or name in (ROLE, PARTS) or "." in name or name in sent
        if sent is not None:
            body = {**sent}
            unsupported.apply(body, adaptation(status, {}, words, None, sent))
            assert len(body["messages"]) == len(sent["messages"])
            assert body.get("tools", []) == [] or body["tools"][0]["function"]["name"] == "f"
            assert {"max_tokens", "max_completion_tokens"} & body.keys() or "max_tokens" not in sent


@given(st.text(max_size=300), st.dictionaries(st.text(max_size=8), st.none() | st.text(max_size=5), max_size=3))
def test_any_text_is_read(text, error):
    adaptation(400, error, text + " is not supported", error, SENT)


def test_a_long_complaint_takes_no_longer_than_its_length():
    for filler in ("a, ", "parameter ", "'a' ", "body -> ", "a_", "parameter: a, ", "["):
        adaptation(400, {}, "unsupported " + filler * 100_000, None, SENT)


MODEL = Model("lab/a", "lab", "a")
OTHER = Model("den/a", "den", "a")


def test_what_a_model_lacks_is_kept_with_its_reason():
    known = Learned()
    assert known.lack(MODEL, "tools", "it does not support tools")
    assert not known.lack(MODEL, "tools", "again")
    assert not known.lack(MODEL, "flight", "no such ability")
    assert known.lacks("lab") == {"a": {"tools": "it does not support tools"}}
    assert known.lacking == {("lab", "a"): {Capability.TOOLS: "it does not support tools"}}


def test_what_was_learned_of_a_server_is_forgotten_with_it():
    known = Learned()
    for model in (MODEL, OTHER):
        known.lack(model, "tools", "x")
        known.learn(model, {"seed": None})
    known.forget("lab")
    assert (known.status("lab"), known.lacks("lab"), known.of(MODEL)) == ({}, {}, {})
    assert (known.status("den"), known.lacks("den")) == ({"a": {"seed": ""}}, {"a": {"tools": "x"}})
    assert known.forget_lacking("den", "a")
    assert not known.forget_lacking()
    assert known.of(OTHER) == {"seed": None}


def test_only_so_much_is_learned():
    known = Learned()
    for number in range(1000):
        known.learn(MODEL, {f"field_{number}": None})
        known.lack(Model(f"lab/{number}", "lab", str(number)), "tools", "x")
    assert len(known.of(MODEL)) == 64
    assert len(known.lacks("lab")) == 500
