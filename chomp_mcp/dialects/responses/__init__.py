"""OpenAI's Responses: for routers that speak it, and (`door_…`) for clients that do."""
