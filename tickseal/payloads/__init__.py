"""What frames carry: samples of sensors, pictures of cameras."""
