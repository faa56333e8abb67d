"""What came out of segments: frames, the readings and pictures in them, for outputs and programs."""
