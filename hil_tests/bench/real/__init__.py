"""A bench of real wires: a device behind a shell, and commands that move what is around it."""
