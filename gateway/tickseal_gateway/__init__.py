"""The Stream Controller and Data Sink: enrols devices, opens, stores and shows what they seal."""
