"""What is streamed: sensors and cameras, each read at its rate."""
