"""The verification of a command that is not ours: its runs, their numbers, and the judgement."""
