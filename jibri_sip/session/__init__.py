"""One call and its conference: states, reasons, what was seen when, and when to end."""
