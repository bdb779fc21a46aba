"""How the HTTP door is served: a socket, a protocol, several processes."""
