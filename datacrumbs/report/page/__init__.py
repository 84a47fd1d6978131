"""A report as one page that needs no network: the figures of the tables, drawn."""
