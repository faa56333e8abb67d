"""What came out of segments: frames, and the readings and pictures in them, for all outputs."""
