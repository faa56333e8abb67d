"""The Stream Controller and Data Sink: enrols devices, opens what they seal, stores and shows it."""
