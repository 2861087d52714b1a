"""Records on their way to a peer, in batches: what logs and traces share."""
