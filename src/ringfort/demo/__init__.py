"""The demonstration: a seeded synthetic population and what each identity can see of it."""
