"""How a node is, for whoever runs it: health, metrics, the service manager, the doctor."""
