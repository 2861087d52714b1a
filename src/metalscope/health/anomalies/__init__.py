"""What looks for anomalies: the default detector ``robust`` and what it is made of."""
