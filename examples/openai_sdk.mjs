// The OpenAI SDK for JavaScript against the gateway: change the base URL, keep everything else.
//
//     npm install --prefix examples && node examples/openai_sdk.mjs

import OpenAI from "openai";

const gateway = process.env.CHOMP_URL ?? "http://127.0.0.1:8080";
const token = process.env.CHOMP_TOKEN ?? "none"; // GATEWAY_AUTH_TOKEN, or what POST /api/keys gave
const model = process.env.CHOMP_MODEL ?? "mock/echo"; // groq/auto, gpt-oss-120b, auto …

const client = new OpenAI({ baseURL: `${gateway}/v1`, apiKey: token });

const answer = await client.chat.completions.create({
  model,
  messages: [{ role: "user", content: "Say hello." }],
});
console.log(answer.choices[0].message.content);
console.log("answered by", answer.chomp.router, "for", answer.chomp.cost_usd, "USD");

const stream = await client.chat.completions.create({
  model,
  messages: [{ role: "user", content: "Count to three." }],
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  if (chunk.choices.length) process.stdout.write(chunk.choices[0].delta.content ?? "");
  else console.log(`\n${chunk.usage.total_tokens} tokens`);
}

const models = await client.models.list();
console.log(models.data.length, "models");
