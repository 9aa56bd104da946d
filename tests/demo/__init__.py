"""`make demo`: one real call, bridged into one real meeting, and what each side saw and heard of it."""
