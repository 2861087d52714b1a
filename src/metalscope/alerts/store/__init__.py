"""What the file of alerts holds, how it is written and how it is read."""
