"""Clock sources: what steers this device's time, and how well."""
