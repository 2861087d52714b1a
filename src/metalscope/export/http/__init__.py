"""HTTP for exporters: connections, deadlines, TLS, keys, and what an answer means."""
