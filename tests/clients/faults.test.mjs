// Every fault of the catalogue as the JavaScript SDK shows it to its user.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import OpenAI from "openai";

const world = spawn(process.env.PYTHON, [process.env.FAULT_WORLD], { stdio: ["pipe", "pipe", "inherit"] });
const { baseURL, secret, faults } = JSON.parse((await createInterface(world.stdout)[Symbol.asyncIterator]().next()).value);
after(() => world.stdin.end());
const client = new OpenAI({ baseURL, apiKey: "placeholder", maxRetries: 0 });

async function ask(fault, read) {
  const answer = await client.chat.completions.create({
    model: fault.model, messages: [{ role: "user", content: "Say hello, please." }], stream: fault.stream, ...fault.body,
  });
  if (!fault.stream) return read(answer.choices[0].message.content ?? "");
  for await (const chunk of answer) read(chunk.choices[0]?.delta?.content ?? "");
}

for (const fault of faults) {
  test(fault.name, async () => {
    let text = "";
    const asked = ask(fault, (piece) => { text += piece; });
    if (fault.status === 200 && !fault.broken) {
      await asked;
      assert.equal(text, fault.text);
      return;
    }
    await assert.rejects(asked, (error) => {
      assert.ok(error instanceof OpenAI.APIError, String(error));
      assert.ok(!String(error.message).includes(secret));
      assert.equal(error.code, fault.code);
      if (!fault.broken) assert.equal(error.status, fault.status);
      return true;
    });
    if (fault.broken) assert.equal(text, fault.text);
  });
}

test("the SDK's own retries honour the router's retry-after and then give up", async () => {
  const fault = faults.find((f) => f.name === "status_429_short");
  const patient = new OpenAI({ baseURL, apiKey: "placeholder", maxRetries: 1 });
  const began = Date.now();
  await assert.rejects(patient.chat.completions.create({ model: fault.model, messages: [{ role: "user", content: "x" }] }), OpenAI.RateLimitError);
  assert.ok(Date.now() - began >= 900, "it waited for the second that it was told");
});
