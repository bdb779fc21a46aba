"""The MCP door: tools, resources and prompts over stdio, Streamable HTTP and SSE."""
