"""Where opened frames go: each output on its own, none able to harm another."""
