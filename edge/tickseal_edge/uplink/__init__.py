"""The way to the gateway: connections, and which frames go by which of them."""
