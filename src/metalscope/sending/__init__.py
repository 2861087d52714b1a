"""What all that sends has in common: HTTP with one deadline, results, when to try again."""
