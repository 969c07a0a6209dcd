"""The engine of one process: which channels have which local receivers, and delivery to them."""
