"""One stream: what it is, its generations and keys, frames sealed and opened."""
