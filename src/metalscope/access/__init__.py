"""Who may ask the server for what: keys, tokens, roles, the gate, and the record of it all."""
