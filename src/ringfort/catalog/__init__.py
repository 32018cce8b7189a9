"""What data there is: datasets, tables, columns, and the path from each row to its data subject."""
