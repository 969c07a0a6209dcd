"""Maps: channels whose subscribers see the state of all entries, and how it changes."""
