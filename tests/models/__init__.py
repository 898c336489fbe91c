"""Models of the protocols: every order of events that can happen, within bounds, is looked at."""
