"""One word for one thing: finds words that the glossary says to avoid."""
