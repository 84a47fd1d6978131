"""Calls in the forms of other tools: tables of calls, timelines, stacks."""
