"""The bench: how late, how smooth, how costly; rivals' ways of doing a step in turn with ours."""
