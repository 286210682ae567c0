// The seed page's JavaScript snippet, and what else an SDK user relies on.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const baseURL = process.env.BASE_URL;
const client = new OpenAI({ baseURL, apiKey: "not-needed-in-demo-mode" });
const impatient = new OpenAI({ baseURL, apiKey: "not-needed-in-demo-mode", maxRetries: 0 });
const hello = [{ role: "user", content: "Hello!" }];
const saying = (text) => [{ role: "user", content: text }];

test("the snippet of the API page works unchanged", async () => {
  const response = await client.chat.completions.create({ model: "blockrun/auto", messages: hello });
  assert.ok(response.choices[0].message.content.length > 0);
});

test("a stream arrives in pieces, with usage at the end when asked for", async () => {
  const stream = await client.chat.completions.create({
    model: "mock/default", messages: saying("[[n=10]]"), stream: true, stream_options: { include_usage: true },
  });
  let pieces = 0, usage = null;
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta?.content) pieces += 1;
    if (chunk.usage) usage = chunk.usage;
  }
  assert.equal(pieces, 10);
  assert.equal(usage.completion_tokens, 10);
});

test("tool calls come whole", async () => {
  const tools = [{ type: "function", function: { name: "turn_on", parameters: { type: "object", properties: { name: { type: "string" } }, required: ["name"] } } }];
  const response = await client.chat.completions.create({ model: "mock/default", messages: hello, tools, tool_choice: "required" });
  const call = response.choices[0].message.tool_calls[0];
  assert.equal(call.function.name, "turn_on");
  assert.deepEqual(JSON.parse(call.function.arguments), { name: "mock" });
});

test("models are listed and found by ids with slashes", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  for (const id of ["blockrun/auto", "blockrun/eco", "blockrun/premium", "blockrun/free", "mock/default"]) assert.ok(ids.includes(id), id);
  assert.equal((await client.models.retrieve("blockrun/auto")).id, "blockrun/auto");
});

test("an unknown model is a NotFoundError that names the parameter", async () => {
  await assert.rejects(client.chat.completions.create({ model: "no/such", messages: hello }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    assert.equal(error.param, "model");
    return true;
  });
});

test("a bad request is a BadRequestError", async () => {
  await assert.rejects(client.chat.completions.create({ model: "mock/default", messages: "hello" }), OpenAI.BadRequestError);
});

test("an upstream's rate limit reaches the client as one", async () => {
  await assert.rejects(
    impatient.chat.completions.create({ model: "mock/default", messages: saying("[[status=429 retry_after=60]]") }), OpenAI.RateLimitError);
});

test("an error in the middle of a stream is thrown", async () => {
  const stream = await client.chat.completions.create({ model: "mock/default", messages: saying("[[n=10 error=3]]"), stream: true });
  let pieces = 0;
  await assert.rejects(async () => { for await (const chunk of stream) pieces += chunk.choices.length; }, OpenAI.APIError);
  assert.ok(pieces >= 1);
});

test("leaving a stream early is fine", async () => {
  const stream = await client.chat.completions.create({ model: "mock/default", messages: saying("[[n=1000 d=5]]"), stream: true });
  for await (const chunk of stream) { if (chunk) break; }
});
