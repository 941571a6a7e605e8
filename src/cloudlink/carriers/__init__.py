"""What moves the batches of `cloudlink.cluster` between processes; `cloudlink.cluster.carriers` is the interface."""
