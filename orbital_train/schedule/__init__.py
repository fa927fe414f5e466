"""Who trains when, what is sent over which contact, and when it is merged: a pure function to a trace."""
