"""The KV that everything durable lives in, and its backends."""
