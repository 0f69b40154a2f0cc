"""Making tracks by hand with a machine's help: what people click, and what is computed from it."""
