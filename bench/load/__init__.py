"""The load generator, a separate process: its input and output (`job`), and how it is built and run (`run`)."""
