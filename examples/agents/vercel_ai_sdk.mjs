// The Vercel AI SDK: an agent on any model behind your keys, that can ask any other one.
//
// chomp-mcp serve & (cd examples/agents && npm install && node vercel_ai_sdk.mjs)
import { createMCPClient } from '@ai-sdk/mcp';
import { Experimental_StdioMCPTransport as StdioTransport } from '@ai-sdk/mcp/mcp-stdio';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText } from 'ai';

const gateway = process.env.CHOMP_URL ?? 'http://127.0.0.1:8080';
const model = process.env.CHOMP_MODEL ?? 'mock/echo';

const chomp = await createMCPClient({ transport: new StdioTransport({ command: 'chomp-mcp', env: process.env }) });
try {
  const provider = createOpenAICompatible({ name: 'chomp', baseURL: `${gateway}/v1`, apiKey: 'none' });
  const tools = await chomp.tools();
  const { text } = await generateText({ model: provider(model), tools, prompt: 'Say hello.' });
  console.log(text);
  console.log(Object.keys(tools).sort().join(', '));
  const told = await tools.ask.execute({ prompt: 'What do you think?', model }, { toolCallId: '1', messages: [] });
  console.log(told.content[0].text);
} finally {
  await chomp.close();
}
