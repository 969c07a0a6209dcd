"""The playground: the seven systems on one page."""
