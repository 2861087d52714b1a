"""Files of lines that several processes append to, and that are moved away when they are full."""
