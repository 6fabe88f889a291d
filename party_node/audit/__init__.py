"""Evidence: what a node can show of a session, and what anybody who has the roster can check of it."""
