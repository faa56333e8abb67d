"""The doctor: checks a whole device, and says how to mend what is wrong."""
