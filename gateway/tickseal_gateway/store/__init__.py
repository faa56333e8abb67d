"""Where opened frames are kept."""
