"""The production log: records tied to the operation they tell of, and the places they go to."""
