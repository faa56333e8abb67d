"""The Stream Controller: connections of devices and sinks, and the decisions about them."""
