"""The playground: eight systems on one page."""
