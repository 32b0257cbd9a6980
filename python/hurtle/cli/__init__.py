"""The command `hurtle`: reads arguments, calls the verbs, prints. Data on stdout, all else on stderr."""
