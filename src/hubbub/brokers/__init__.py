"""How hubs reach each other, and where history lives."""
