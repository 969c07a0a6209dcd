"""The playground: example apps on one page."""
