"""The load generator, a process of its own: what it is told (`job`), and how it is built and run (`run`)."""
