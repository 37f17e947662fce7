"""Paired trials of remedies: plan, patient, trials, judgement, record, healing."""
