"""What is secret or private in text, found and taken out."""
