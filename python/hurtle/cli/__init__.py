"""The command `hurtle`: arguments in, verbs called, words out. Data on stdout, everything else on stderr."""
