"""The Data Source application: reads sensors and cameras, seals and streams every frame."""
