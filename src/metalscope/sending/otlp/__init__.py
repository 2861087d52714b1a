"""OTLP, whatever is sent by it: requests of metrics, logs and spans, and what is answered."""
