"""Types of channels: what it means to subscribe to one, and to publish."""
