"""Who may see what, in which form: the disclosure ladder, decided by Cedar."""
