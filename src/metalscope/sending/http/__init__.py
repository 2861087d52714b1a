"""HTTP for all that sends: connections, deadlines, TLS, keys, and what an answer means."""
