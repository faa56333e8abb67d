"""The Data Source application: reads sensors and cameras, seals every frame, streams to a gateway."""
